// SPDX-License-Identifier: Apache-2.0
// Names and sentences for exits, anomalies, stops and counters.
#include "app/report.h"

#include <array>

#include <fmt/format.h>

#include "arch/vmx/interruption_information.h"

namespace postern::app {

namespace {

template <size_t count, class Enum>
std::string_view pick(const std::array<std::string_view, count>& names, Enum value) {
    const auto index = static_cast<size_t>(value);
    return index < count ? names[index] : std::string_view{"unknown"};
}

struct StopText {
    std::string_view what;
    std::string_view advice;
};

constexpr std::array stop_texts{
    StopText{"not stopped", ""},
    StopText{"the exit reason matches no row of the table",
             "with the protection \"capture\" on, flags are never part of the number"},
    StopText{"the exit reason is one that the manual reserves",
             "a processor that makes such an exit is not one this hypervisor knows"},
    StopText{"triple fault", "look at the guest's IDT and stack: three faults in a row"},
    StopText{"an event was to be delivered onto a device",
             "the guest's IDT, TSS or stack lies in a device's page; move it to memory"},
    StopText{"the delivery of an event cannot be finished",
             "look at the guest's IDT, TSS and stack"},
    StopText{"VM entry failed after loading guest state",
             "the guest state in the VMCS is not legal; the qualification says more"},
    StopText{"VMLAUNCH or VMRESUME failed", "the number is the VM-instruction error"},
    StopText{"no page is left for the hypervisor's tables", "give less --memory or a larger pool"},
    StopText{"an instruction to pass over has length 0",
             "the processor did not say how long it is; see the exit"},
    StopText{"an enclave touched a device", "--enclave-fault ud or gp lets the guest live"},
    StopText{"the processor lacks a VMX control", "choose another --cpu"},
    StopText{"the configuration cannot work", "see what is named above"},
    StopText{"the processor faulted on an operand of ENCLS that the hypervisor mapped for it",
             "this is a fault of the hypervisor or of the processor, not of the guest"},
    StopText{"not implemented", "the guest needs what is named above"},
};
static_assert(stop_texts.size() == static_cast<size_t>(hv::StopReason::not_implemented) + 1);

const StopText& text_of(hv::StopReason reason) {
    const auto index = static_cast<size_t>(reason);
    return stop_texts[index < stop_texts.size() ? index : 0];
}

constexpr std::array named_counters{
    NamedCounter{"exits", &hv::Counters::exits},
    NamedCounter{"unknown reasons", &hv::Counters::unknown_reasons},
    NamedCounter{"failed entries", &hv::Counters::entry_failures},
    NamedCounter{"VMfail", &hv::Counters::vmfails},
    NamedCounter{"bus locks", &hv::Counters::bus_locks},
    NamedCounter{"guard hits", &hv::Counters::guard_hits},
    NamedCounter{"#UD injected", &hv::Counters::injected_ud},
    NamedCounter{"#GP injected", &hv::Counters::injected_gp},
    NamedCounter{"exceptions injected again", &hv::Counters::reinjected},
    NamedCounter{"events delivered again", &hv::Counters::redelivered},
    NamedCounter{"retries", &hv::Counters::retries},
    NamedCounter{"controls dropped", &hv::Counters::controls_dropped},
    NamedCounter{"skips of length 0 from an enclave", &hv::Counters::zero_length_skips},
    NamedCounter{"skips with a length from an enclave", &hv::Counters::skip_anomalies},
    NamedCounter{"exits during delivery to an enclave", &hv::Counters::delivery_incidents},
    NamedCounter{"triple faults", &hv::Counters::triple_faults},
    NamedCounter{"EPT pages mapped", &hv::Counters::ept_maps},
    NamedCounter{"EPT pages mapped for an enclave", &hv::Counters::ept_maps_from_enclave},
    NamedCounter{"EPT pages taken back", &hv::Counters::ept_forgets},
    NamedCounter{"MMIO instructions emulated", &hv::Counters::emulated_mmio},
    NamedCounter{"port instructions emulated", &hv::Counters::emulated_io},
};

void add_exit_lines(std::vector<std::string>& lines, const hv::ExitRecord& exit) {
    const bool enclave = exit.kind == hv::ExitKind::enclave || exit.kind == hv::ExitKind::delivery;
    lines.push_back(fmt::format("  exit {}{}: {}", exit.sequence, exit.of_l2 != 0 ? " of L2" : "",
                                reason_text(exit.raw_reason)));
    lines.push_back(fmt::format("  {} {:#x}, CPL {}, RAX {:#x}, RCX {:#x}{}",
                                enclave ? "AEP" : "RIP", exit.rip_or_aep, exit.cpl, exit.rax,
                                exit.rcx,
                                enclave ? fmt::format(", TCS {:#x}", exit.tcs) : std::string{}));
    lines.push_back(fmt::format("  qualification {:#x}, linear {:#x}, physical {:#x}, length {}",
                                exit.qualification, exit.guest_linear, exit.guest_physical,
                                exit.instruction_length));
    if ((exit.idt_vectoring >> 31) != 0)
        lines.push_back(fmt::format("  while event {:#x} was being delivered", exit.idt_vectoring));
}

/// What lets an enclave get past its next instruction, by what interrupts it every time.
std::string_view livelock_advice(BasicReason reason) {
    switch (reason) {
        case BasicReason::vmx_preemption_timer_expired:
            return "ERESUME alone uses up the timer's period: give it a longer one";
        case BasicReason::external_interrupt:
        case BasicReason::exception_or_nmi:
        case BasicReason::monitor_trap_flag:
            return "it is interrupted before each instruction: let time pass between two of these";
        case BasicReason::pause:
        case BasicReason::rdtsc:
        case BasicReason::rdtscp:
        case BasicReason::rdrand:
        case BasicReason::rdseed:
        case BasicReason::umwait:
        case BasicReason::tpause:
            return "nobody can carry the instruction out for it: the intercept has to go "
                   "(the protection \"retry\" drops it)";
        case BasicReason::ept_violation:
        case BasicReason::ept_misconfiguration:
            return "the page it needs is taken back each time: leave it mapped";
        default: return "what exits has to be switched off, or the enclave stopped";
    }
}

}  // namespace

std::string_view name_of(hv::ExitKind kind) {
    return pick<4>({"normal", "enclave", "delivery", "failed"}, kind);
}

std::string_view name_of(hv::Action action) {
    return pick<hv::action_count>(
        {"none", "acknowledged", "retried", "mapped", "control dropped", "redelivered",
         "reinjected", "faulted", "guarded", "emulated", "halted", "stopped", "passed on"},
        action);
}

std::string_view name_of(hv::Anomaly anomaly) {
    return pick<hv::anomaly_count>(
        {"exit-reason bit 27 without interruptibility bit 4",
         "interruptibility bit 4 without exit-reason bit 27", "RAX is not ERESUME after an AEX",
         "RCX is not the AEP after an AEX", "CPL is not 3 after an AEX",
         "an enclave's exit with an instruction length", "an enclave's exit with a page offset",
         "a write of RIP after an enclave's exit, refused",
         "an exit reason that is impossible from an enclave",
         "an exit reason that is impossible during delivery", "a reserved exit reason",
         "an exit whose control was never set", "an instruction of length 0 to skip",
         "blocking by MOV SS beside enclave interruption, refused", "a livelock of an enclave"},
        anomaly);
}

std::string reset_text(const hv::ResetRecord& reset) {
    const bool asked = reset.cause == hv::ResetCause::device;
    return fmt::format("reset {}: {} processor {} after {} instructions", reset.number,
                       asked ? "asked for by" : "a triple fault of", reset.vcpu, reset.tsc);
}

std::string reason_text(u32 raw_reason) {
    if (raw_reason == no_exit_reason) return "no exit reason: the entry failed";
    const ExitReason reason = ExitReason::from_vmcs(raw_reason);
    return fmt::format("{:#010x} = {} ({}){}{}", raw_reason, static_cast<unsigned>(reason.basic()),
                       postern::name_of(reason.basic()),
                       reason.from_enclave() ? " from an enclave" : "",
                       reason.entry_failed() ? ", VM-entry failure" : "");
}

std::vector<std::string> anomaly_lines(hv::Anomaly anomaly, const hv::ExitRecord& record) {
    std::vector<std::string> lines{fmt::format("anomaly: {} (exit {}: {})", name_of(anomaly),
                                               record.sequence, reason_text(record.raw_reason))};
    if (anomaly != hv::Anomaly::livelock) return lines;
    lines.push_back(
        fmt::format("  AEP {:#x}, TCS {:#x}: the same exit again and again, and no "
                    "instruction of the enclave retires",
                    record.rip_or_aep, record.tcs));
    const BasicReason reason = ExitReason::from_vmcs(record.raw_reason).basic();
    lines.push_back(fmt::format("  {}", livelock_advice(reason)));
    return lines;
}

std::vector<std::string> stop_lines(const hv::StopReport& report) {
    const StopText& text = text_of(report.reason);
    std::vector<std::string> lines;
    lines.push_back(fmt::format("the guest was stopped: {}{}{}{}", text.what,
                                report.what != nullptr ? ": " : "",
                                report.what != nullptr ? report.what : "",
                                report.detail != 0 ? fmt::format(" ({:#x})", report.detail) : ""));
    add_exit_lines(lines, report.exit);
    if (!text.advice.empty()) lines.push_back(fmt::format("  {}", text.advice));
    return lines;
}

std::vector<std::string> ending_lines(const host::RunResult& result) {
    using host::Ending;
    switch (result.ending) {
        case Ending::exit_port:
        case Ending::power_off: return {};
        case Ending::reset: return {"the guest asked for a reset"};
        case Ending::halted: return {"every processor waits, and nothing will wake one"};
        case Ending::stopped: return stop_lines(result.stop);
        case Ending::processor: return {result.what};
        case Ending::instruction_limit:
            return {
                fmt::format("stopped at the limit, after {} instructions", result.instructions)};
        case Ending::time_limit:
            return {fmt::format("stopped at the time limit, after {} instructions",
                                result.instructions)};
    }
    return {};
}

std::span<const NamedCounter> counter_names() { return named_counters; }

std::vector<std::string> counter_lines(const hv::Counters& counters, u64 instructions) {
    std::vector<std::string> lines{fmt::format("{:>12}  instructions", instructions)};
    for (const NamedCounter& row : named_counters)
        if (counters.*row.counter != 0)
            lines.push_back(fmt::format("{:>12}  {}", counters.*row.counter, row.name));
    for (size_t reason = 0; reason < reason_limit; ++reason)
        for (size_t kind = 0; kind < hv::exit_kind_count; ++kind)
            if (const u64 count = counters.by_reason[reason][kind]; count != 0)
                lines.push_back(fmt::format("{:>12}  exits: {} {}, {}", count, reason,
                                            postern::name_of(static_cast<BasicReason>(reason)),
                                            name_of(static_cast<hv::ExitKind>(kind))));
    for (size_t n = 0; n < hv::anomaly_count; ++n)
        if (counters.anomalies[n] != 0)
            lines.push_back(fmt::format("{:>12}  anomalies: {}", counters.anomalies[n],
                                        name_of(static_cast<hv::Anomaly>(n))));
    return lines;
}

}  // namespace postern::app
