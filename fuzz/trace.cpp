// SPDX-License-Identifier: Apache-2.0
// iterations: 3000
// Any bytes as a trace: they are shown in each format, or refused in one line. Each input is tried
// as it is, behind a good header, and as records whose checksums are right.
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "app/exits/exits.h"
#include "unit/app/trace_file.h"

namespace {

using namespace postern;
using app::ExitsOptions;
using app::trace::Record;

const std::string& path() {
    static const std::string name = app::test::temporary("fuzzed-trace");
    return name;
}

void show(const ExitsOptions& options) {
    std::ostringstream out, err;
    const int status = app::exits_command(options, {out, err});
    const std::string said = err.str();
    if (status != 0 && status != 2) std::abort();
    if (status == 2 && (!out.str().empty() || said.empty())) std::abort();
    if (said.find('\n') + 1 != said.size() && !said.empty()) std::abort();  // one line
    if (out.str().find('\x1b') != std::string::npos) std::abort();
}

void show(const std::vector<u8>& bytes) {
    app::test::write_file(path(), bytes);
    ExitsOptions options;
    options.trace = path();
    show(options);
    for (bool ExitsOptions::* const format :
         {&ExitsOptions::list, &ExitsOptions::json, &ExitsOptions::csv, &ExitsOptions::kvm}) {
        ExitsOptions one = options;
        one.*format = true;
        show(one);
    }
    unlink(path().c_str());
}

/// Records that pass the reader's checks but for what their fields say.
std::vector<u8> of_records(const u8* data, size_t size) {
    std::vector<Record> records;
    for (size_t at = 0; at < size && records.size() < 64; at += sizeof(Record::bytes)) {
        Record record;
        const size_t left = size - at;
        std::memcpy(record.bytes.data(), data + at, std::min(left, record.bytes.size()));
        if ((data[at] & 3) == 3) record.kind = app::trace::RecordKind::enclave;
        if ((data[at] & 0xf0) != 0xf0 && record.kind == app::trace::RecordKind::exit) {
            record.exit.kind = hv::ExitKind{static_cast<u8>(data[at] & 3)};
            record.exit.action = hv::Action{static_cast<u8>(data[at] % hv::action_count)};
            record.exit.cpl &= 3;
            record.exit.vcpu &= 63;
            record.exit.anomalies &= (1u << hv::anomaly_count) - 1;
        }
        if (record.kind == app::trace::RecordKind::enclave) record.enclave.initialized &= 1;
        if ((data[at] & 0x1f) == 0x1c) record.kind = app::trace::RecordKind::reset;
        if (record.kind == app::trace::RecordKind::reset) {
            record.reset.vcpu &= 63;
            record.reset.cause = hv::ResetCause{static_cast<u32>(data[at]) >> 5 & 1};
        }
        records.push_back(record);
    }
    std::vector<u8> file = app::trace::encode_header(app::test::about);
    const size_t half = records.size() / 2;
    if (half != 0)
        app::test::append(file, app::trace::encode_block(std::span{records}.first(half), 0, false));
    app::test::append(file, app::trace::encode_block(std::span{records}.subspan(half), half, true));
    return file;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    show({data, data + size});
    std::vector<u8> behind_header = app::trace::encode_header(app::test::about);
    behind_header.insert(behind_header.end(), data, data + size);
    show(behind_header);
    show(of_records(data, size));
    std::vector<u8> changed = app::test::chosen_trace();
    for (size_t n = 0; n + 2 < size && n < 24; n += 3)
        changed[(size_t{data[n]} << 8 | data[n + 1]) % changed.size()] ^= data[n + 2];
    if (size != 0) changed.resize(changed.size() - data[0] % 64);
    show(changed);
    return 0;
}
