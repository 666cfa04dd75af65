// SPDX-License-Identifier: Apache-2.0
// Running the guest and writing down what happens.
#include "app/demo/observe.h"

#include <fmt/format.h>

#include "app/options.h"
#include "arch/vmx/exit_reason.h"
#include "cpu/model.h"

namespace postern::app {

namespace {

constexpr u64 memory_size = 64 * platform::mib;
constexpr u64 epc_size = 2 * platform::mib;

/// A run that has gone wrong ends by itself; this is for one that does not.
constexpr u64 instruction_limit = 100'000'000;

// The guest's marks: guests/abi.h.
constexpr u32 mark_mask = 0xff00'0000;
constexpr u32 mark_row_begins = 0xf000'0000;
constexpr u32 mark_row_ends = 0xf100'0000;

class Recorder final : public hv::Watcher {
public:
    explicit Recorder(Observation& seen) : seen_{&seen} {}
    void exit(const hv::ExitRecord& record) override { seen_->exits.push_back(record); }
    void anomaly(hv::Anomaly anomaly, const hv::ExitRecord& record) override {
        seen_->anomalies.push_back({anomaly, record.sequence});
    }
    void stopped(const hv::StopReport&) override {}

private:
    Observation* seen_;
};

/// Lines "@rowN.key=value" and "@key=value" of the row that was asked for.
void read_lines(Observation& seen, unsigned row) {
    const std::string prefix = fmt::format("@row{}.", row);
    for (std::string_view line : split(seen.serial, '\n')) {
        if (line.ends_with('\r')) line.remove_suffix(1);
        const size_t equals = line.find('=');
        if (!line.starts_with(prefix) || equals == std::string_view::npos) continue;
        seen.said.emplace(line.substr(prefix.size(), equals - prefix.size()),
                          line.substr(equals + 1));
    }
}

}  // namespace

std::vector<hv::ExitRecord> Observation::enclave_exits() const {
    std::vector<hv::ExitRecord> found;
    for (size_t i = row_begin; i < row_end; ++i) {
        const ExitReason reason = ExitReason::from_vmcs(exits[i].raw_reason);
        if (exits[i].raw_reason != no_exit_reason && reason.from_enclave())
            found.push_back(exits[i]);
    }
    return found;
}

std::vector<std::string> Observation::said_all(std::string_view key) const {
    std::vector<std::string> values;
    const auto [first, last] = said.equal_range(key);
    for (auto at = first; at != last; ++at) values.push_back(at->second);
    return values;
}

std::string Observation::said_once(std::string_view key) const {
    const auto values = said_all(key);
    return values.size() == 1 ? values[0] : std::string{};
}

platform::Expected<Observation> observe(const Experiment& experiment,
                                        const platform::Kernel& kernel) {
    Observation seen;
    Recorder recorder{seen};
    platform::StringSink serial;
    platform::NullSink debug;
    host::GuestConfig config;
    config.layout = platform::layout_of(memory_size, epc_size);
    config.model = &cpu::default_model();
    config.kernel = kernel;
    config.kernel.command_line = fmt::format("rows={}", experiment.row);
    config.protections = experiment.protections;
    config.preemption_timer = experiment.preemption_timer;
    config.lying_processor = experiment.lying_processor;

    hv::Vm* vm = nullptr;
    bool row_ended = false;
    const auto on_mark = [&](u32 value) {
        if (value == (mark_row_begins | experiment.row)) {
            seen.row_begin = seen.exits.size();
        } else if (value == (mark_row_ends | experiment.row)) {
            seen.row_end = seen.exits.size();
            row_ended = true;
        } else if ((value & mark_mask & ~u32{0x0100'0000}) != mark_row_begins) {
            const u64 page = u64{value} * page_size;
            seen.taken_back.push_back({page, vm->forget(Gpa{page}), seen.exits.size()});
        }
    };
    auto guest = host::Guest::create(std::move(config), {serial, debug, recorder, on_mark});
    if (!guest) return std::unexpected{guest.error()};
    vm = &(*guest)->vm();
    seen.result = (*guest)->run({instruction_limit, 0});
    if (!row_ended) seen.row_end = seen.exits.size();
    seen.counters = (*guest)->vcpu().counters();
    seen.rings = (*guest)->devices().doorbell.rings();
    seen.ring_count = (*guest)->devices().doorbell.count();
    seen.missing_fields = (*guest)->port().missing_fields();
    seen.serial = serial.text();
    read_lines(seen, experiment.row);
    return seen;
}

}  // namespace postern::app
