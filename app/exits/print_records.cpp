// SPDX-License-Identifier: Apache-2.0
// One exit, one line, in four formats.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "app/exits/names.h"
#include "app/exits/print.h"
#include "app/report.h"
#include "arch/vmx/interruption_information.h"

namespace postern::app {

namespace {

u16 number_of(const hv::ExitRecord& exit) {
    return static_cast<u16>(ExitReason::from_vmcs(exit.raw_reason).basic());
}

/// 1: of the guest itself; 2: of the guest that a hypervisor in it runs.
unsigned level_of(const hv::ExitRecord& exit) { return exit.of_l2 + 1u; }

/// Where the guest goes on, if that is elsewhere.
bool has_moved(const hv::ExitRecord& exit) { return exit.rip_after != exit.rip_or_aep; }

/// The ones with a "," are one cell.
std::string anomaly_words(u32 anomalies) {
    std::string words;
    for (size_t n = 0; n < hv::anomaly_count; ++n)
        if ((anomalies >> n & 1) != 0)
            words += fmt::format("{}{}", words.empty() ? "" : "; ",
                                 name_of(static_cast<hv::Anomaly>(n)));
    return words;
}

/// "EPT_VIOLATION ENCLAVE": flags as the kernel prints them, those without a name as a number.
std::string kvm_reason(u32 raw) {
    const ExitReason reason = ExitReason::from_vmcs(raw);
    const auto number = static_cast<u16>(reason.basic());
    const std::string_view name = kvm_name(number);
    std::string text = name.empty() ? fmt::format("{:#x}", number) : std::string{name};
    if (reason.entry_failed()) text += " FAILED_VMENTRY";
    if (reason.from_enclave()) text += " ENCLAVE";
    u32 named = 0xffff;
    if (reason.entry_failed()) named |= ExitReason::from_vmcs(0).with_entry_failure().to_vmcs();
    if (reason.from_enclave()) named |= ExitReason::from_vmcs(0).in_enclave().to_vmcs();
    if ((raw & ~named) != 0) text += fmt::format(" {:#x}", raw & ~named);
    return text;
}

void append_hex(std::string& line, const char* name, u64 value) {
    if (value != 0) line += fmt::format(" {}={:#x}", name, value);
}

/// What is not in the first columns of csv_head. `has`: an exit of its kind has it.
template <class Field>
void each_number(const hv::ExitRecord& exit, Field field) {
    const bool enclave = is_enclaves(exit);
    field("rip", !enclave, exit.rip_or_aep);
    field("aep", enclave, exit.rip_or_aep);
    field("tcs", enclave, exit.tcs);
    field("secs", enclave && exit.secs != 0, exit.secs);
    field("moved_to", has_moved(exit), exit.rip_after);
    field("rax", true, exit.rax);
    field("rcx", true, exit.rcx);
    field("rflags", true, exit.rflags);
    field("qualification", true, exit.qualification);
    field("guest_linear", true, exit.guest_linear);
    field("guest_physical", true, exit.guest_physical);
    field("interruptibility_before", true, exit.interruptibility_before);
    field("interruptibility_after", true, exit.interruptibility_after);
    field("instruction_length", true, exit.instruction_length);
    field("interruption", true, exit.interruption);
    field("interruption_error_code", true, exit.interruption_error_code);
    field("idt_vectoring", true, exit.idt_vectoring);
    field("idt_vectoring_error_code", true, exit.idt_vectoring_error_code);
    field("injected", true, exit.injected);
    field("injected_error_code", true, exit.injected_error_code);
    field("anomalies", true, exit.anomalies);
}

}  // namespace

std::string list_line(const hv::ExitRecord& exit, const hv::EnclaveIdentity* who) {
    std::string line = fmt::format("{:>8} {:>14} {} {:<28} {:<8}", exit.sequence, exit.tsc,
                                   exit.vcpu, reason_name(number_of(exit)), name_of(exit.kind));
    if (exit.of_l2 != 0) line += " L2";
    if (is_enclaves(exit)) {
        line += fmt::format(" aep={:#x} tcs={:#x}", exit.rip_or_aep, exit.tcs);
        line += who != nullptr ? fmt::format(" enclave=#{}", who->number) : " enclave=unknown";
    } else {
        line += fmt::format(" rip={:#x} cpl={}", exit.rip_or_aep, exit.cpl);
    }
    append_hex(line, "qualification", exit.qualification);
    append_hex(line, "linear", exit.guest_linear);
    append_hex(line, "physical", exit.guest_physical);
    if ((exit.interruption >> 31) != 0)
        line +=
            fmt::format(" event={}", event_text(exit.interruption, exit.interruption_error_code));
    if ((exit.idt_vectoring >> 31) != 0)
        line += fmt::format(" delivering={}",
                            event_text(exit.idt_vectoring, exit.idt_vectoring_error_code));
    line += fmt::format(": {}", name_of(exit.action));
    if ((exit.injected >> 31) != 0)
        line += fmt::format(", injects {}", event_text(exit.injected, exit.injected_error_code));
    if (has_moved(exit)) line += fmt::format(", goes on at {:#x}", exit.rip_after);
    if (exit.anomalies != 0) line += fmt::format(", ANOMALY: {}", anomaly_words(exit.anomalies));
    return line + '\n';
}

std::string reset_line(const hv::ResetRecord& reset) {
    return fmt::format("-------- {}\n", reset_text(reset));
}

std::string json_line(const hv::ExitRecord& exit, const hv::EnclaveIdentity* who) {
    nlohmann::ordered_json row{{"sequence", exit.sequence},
                               {"vcpu", exit.vcpu},
                               {"tsc", exit.tsc},
                               {"reason", reason_name(number_of(exit))},
                               {"raw_reason", fmt::format("{:#x}", exit.raw_reason)},
                               {"kind", name_of(exit.kind)},
                               {"action", name_of(exit.action)},
                               {"cpl", exit.cpl},
                               {"level", level_of(exit)}};
    if (who != nullptr) row["enclave"] = who->number;
    if (who != nullptr && who->initialized != 0) row["mrenclave"] = mrenclave_text(*who);
    each_number(exit, [&](const char* name, bool has, u64 value) {
        if (has) row[name] = fmt::format("{:#x}", value);
    });
    return row.dump() + '\n';
}

std::string csv_head() {
    std::string line = "sequence,vcpu,tsc,reason,raw_reason,kind,action,cpl,enclave,mrenclave";
    each_number({}, [&](const char* name, bool, u64) { line += fmt::format(",{}", name); });
    return line + ",level\n";
}

std::string csv_line(const hv::ExitRecord& exit, const hv::EnclaveIdentity* who) {
    std::string line = fmt::format("{},{},{},{},{:#x},{},{},{}", exit.sequence, exit.vcpu, exit.tsc,
                                   reason_name(number_of(exit)), exit.raw_reason,
                                   name_of(exit.kind), name_of(exit.action), exit.cpl);
    line += who != nullptr ? fmt::format(",{}", who->number) : ",";
    line +=
        who != nullptr && who->initialized != 0 ? fmt::format(",{}", mrenclave_text(*who)) : ",";
    each_number(exit, [&](const char*, bool has, u64 value) {
        line += has ? fmt::format(",{:#x}", value) : ",";
    });
    return line + fmt::format(",{}\n", level_of(exit));
}

/// As the kernel's trace_pipe has it. info1 is the exit qualification, info2 the IDT-vectoring
/// information.
std::string kvm_line(const hv::ExitRecord& exit, const hv::EnclaveIdentity*) {
    constexpr u64 billion = 1'000'000'000;
    const auto event = InterruptionInformation::from_raw(exit.interruption);
    const bool has_error = event.valid() && event.error_code_valid();
    const std::string place = is_enclaves(exit)
                                  ? fmt::format("aep=0x{:x} tcs=0x{:x}", exit.rip_or_aep, exit.tcs)
                                  : fmt::format("rip 0x{:x}", exit.rip_or_aep);
    return fmt::format(
        "postern-{} [{:03}] {}.{:09}: kvm_exit: vcpu {} reason {} {} info1 0x{:016x} "
        "info2 0x{:016x} intr_info 0x{:08x} error_code 0x{:08x}\n",
        1, exit.vcpu, exit.tsc / billion, exit.tsc % billion, exit.vcpu,
        kvm_reason(exit.raw_reason), place, exit.qualification, exit.idt_vectoring,
        exit.interruption, has_error ? exit.interruption_error_code : 0);
}

}  // namespace postern::app
