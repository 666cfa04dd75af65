// SPDX-License-Identifier: Apache-2.0
// iterations: 6000
// Any bytes as a snapshot: it is taken, or what is wrong is said and nothing has changed. Each
// input is tried as it is, and as changes to a good snapshot whose checksums are then made right
// again. A machine that was loaded runs on for a while, whatever state it is in.
#include <cstdint>
#include <cstdlib>

#include "fuzz/input.h"
#include "platform/snapshot/container.h"
#include "platform/snapshot/processor.h"
#include "unit/platform/running_computer.h"

namespace {

using namespace postern;
using fuzz::Input;
using platform::snapshot::Bytes;
using platform::snapshot::Section;

constexpr u64 instructions = 300;
constexpr u64 second = 1'000'000'000;

platform::snapshot::Version version() { return {4, platform::snapshot::processor_layout()}; }

std::vector<Section> good_sections() {
    test::RunningComputer pc;
    pc.computer->run_until(2000);
    const Bytes file = platform::snapshot_bytes(pc.subject());
    const auto found = platform::snapshot::decode_container(file, "good", version());
    if (!found) std::abort();
    std::vector<Section> sections;
    for (const auto& s : *found) sections.push_back({s.name, {s.bytes.begin(), s.bytes.end()}});
    return sections;
}

void load(const Bytes& file) {
    static test::RunningComputer pc;
    static const platform::SnapshotSubject subject = pc.subject();
    const auto loaded = platform::load_snapshot(subject, file, "fuzz");
    if (!loaded) {
        if (loaded.error().what.empty() || loaded.error().right.empty()) std::abort();
        return;
    }
    if (pc.digest().size() != 64) std::abort();
    // After a time that nobody lived through, devices have years of edges to catch up with.
    if (pc.computer->now() > second) return;
    pc.computer->run_until(pc.computer->now() + instructions);
}

/// One section gets other bytes somewhere, or another length.
void change(std::vector<Section>& sections, Input& input) {
    Bytes& bytes = sections[input.byte() % sections.size()].bytes;
    const u8 what = input.byte();
    if (what % 16 == 0) {
        bytes.resize(input.word(2) % (bytes.size() + 64));
        return;
    }
    if (bytes.empty()) return;
    const u64 at = input.word(3) % bytes.size();
    const u64 count = std::min<u64>(u64{1} << what % 4, bytes.size() - at);
    for (u64 n = 0; n < count; ++n) bytes[at + n] = input.byte();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const std::vector<Section> good = good_sections();
    load({data, data + size});
    Bytes behind_header = platform::snapshot::encode_container(version(), {{"machine", {}}});
    behind_header.insert(behind_header.end(), data, data + size);
    load(behind_header);

    std::vector<Section> sections = good;
    Input input{{data, size}};
    for (unsigned left = 1 + input.byte() % 8; left != 0 && !input.empty(); --left)
        change(sections, input);
    load(platform::snapshot::encode_container(version(), sections));
    return 0;
}
