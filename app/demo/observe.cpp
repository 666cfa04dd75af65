// SPDX-License-Identifier: Apache-2.0
// Running the guest and writing down what happens.
#include "app/demo/observe.h"

#include <fmt/format.h>

#include "app/demo/recorder.h"
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
constexpr u32 mark_row_begins = 0xf000'0000;
constexpr u32 mark_row_ends = 0xf100'0000;

/// SDM 3D, "GPR, x87 Synthetic States on Asynchronous Enclave Exit"; RBP and RSP are the outside's.
bool is_synthetic(host::Guest& guest, const hv::ExitRecord& record) {
    const auto& gpr = guest.vcpu().registers().gpr;
    const cpu::VectorState& vector = guest.machine().processor().vector;
    bool right = gpr[rax] == 3 && gpr[rbx] == record.tcs && gpr[rcx] == record.rip_or_aep;
    for (const size_t zero : {rdx, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15})
        right = right && gpr[zero] == 0;
    for (size_t n = 0; n < 16; ++n)
        for (size_t i = 0; i < 16; ++i) right = right && vector.zmm[n].bytes[i] == 0;
    return right && vector.mxcsr == 0x1fb0;
}

}  // namespace

void Recorder::exit(const hv::ExitRecord& record) {
    seen_->exits.push_back(record);
    if (inside_ && trial_->looks_at_registers && record.kind == hv::ExitKind::enclave &&
        !is_synthetic(*guest_, record))
        ++seen_->leaks;
    if (inside_ && trial_->at_exit) trial_->at_exit(*guest_, record);
}

void Recorder::anomaly(hv::Anomaly anomaly, const hv::ExitRecord& record) {
    seen_->anomalies.push_back({anomaly, record.sequence, record.cpl});
}

void Recorder::mark(u32 value) {
    // What is less than a mark is a page's number.
    if ((value & trial_->mark_mask) == trial_->begins) {
        seen_->row_begin = seen_->exits.size();
        inside_ = true;
        if (trial_->at_begin) trial_->at_begin(*guest_);
    } else if ((value & trial_->mark_mask) == trial_->ends) {
        seen_->row_end = seen_->exits.size();
        inside_ = false;
    } else if (value < mark_row_begins) {
        const u64 page = u64{value} * page_size;
        const bool was_mapped = guest_->vm().forget(Gpa{page});
        seen_->taken_back.push_back({page, was_mapped, seen_->exits.size()});
    }
}

void read_lines(Observation& seen, const std::string& name) {
    const std::string prefix = fmt::format("@{}.", name);
    for (std::string_view line : split(seen.serial, '\n')) {
        if (line.ends_with('\r')) line.remove_suffix(1);
        const size_t equals = line.find('=');
        if (!line.starts_with(prefix) || equals == std::string_view::npos) continue;
        seen.said.emplace(line.substr(prefix.size(), equals - prefix.size()),
                          line.substr(equals + 1));
    }
}

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
    Trial trial;
    trial.guest.kernel = kernel;
    trial.guest.kernel.command_line = fmt::format("rows={}", experiment.row);
    trial.guest.protections = experiment.protections;
    trial.guest.preemption_timer = experiment.preemption_timer;
    trial.guest.lying_processor = experiment.lying_processor;
    trial.said_as = fmt::format("row{}", experiment.row);
    trial.begins = mark_row_begins | experiment.row;
    trial.ends = mark_row_ends | experiment.row;
    trial.instruction_limit = instruction_limit;
    return observe(std::move(trial));
}

platform::Expected<Observation> observe(Trial trial) {
    Observation seen;
    Recorder recorder{seen, trial};
    platform::StringSink serial;
    platform::NullSink debug;
    trial.guest.layout = platform::layout_of(memory_size, epc_size);
    if (trial.guest.model == nullptr) trial.guest.model = &cpu::default_model();
    const auto on_mark = [&](u32 value) { recorder.mark(value); };
    auto guest = host::Guest::create(std::move(trial.guest), {serial, debug, recorder, on_mark});
    if (!guest) return std::unexpected{guest.error()};
    recorder.watch(**guest);
    seen.result = (*guest)->run({trial.instruction_limit, 0});
    if (seen.row_end == 0) seen.row_end = seen.exits.size();
    seen.counters = (*guest)->vcpu().counters();
    seen.rings = (*guest)->devices().doorbell.rings();
    seen.ring_count = (*guest)->devices().doorbell.count();
    seen.missing_fields = (*guest)->port().missing_fields();
    seen.serial = serial.text();
    read_lines(seen, trial.said_as);
    return seen;
}

}  // namespace postern::app
