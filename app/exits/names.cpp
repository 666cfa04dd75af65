// SPDX-License-Identifier: Apache-2.0
// Tables of names.
#include "app/exits/names.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "app/text.h"
#include "arch/vmx/interruption_information.h"

namespace postern::app {

namespace {

struct KvmName {
    BasicReason reason;
    std::string_view name;
};

using enum BasicReason;
constexpr std::array kvm_names{
    KvmName{exception_or_nmi, "EXCEPTION_NMI"},
    KvmName{external_interrupt, "EXTERNAL_INTERRUPT"},
    KvmName{triple_fault, "TRIPLE_FAULT"},
    KvmName{init_signal, "INIT_SIGNAL"},
    KvmName{startup_ipi, "SIPI_SIGNAL"},
    KvmName{interrupt_window, "INTERRUPT_WINDOW"},
    KvmName{nmi_window, "NMI_WINDOW"},
    KvmName{task_switch, "TASK_SWITCH"},
    KvmName{cpuid, "CPUID"},
    KvmName{hlt, "HLT"},
    KvmName{invd, "INVD"},
    KvmName{invlpg, "INVLPG"},
    KvmName{rdpmc, "RDPMC"},
    KvmName{rdtsc, "RDTSC"},
    KvmName{vmcall, "VMCALL"},
    KvmName{vmclear, "VMCLEAR"},
    KvmName{vmlaunch, "VMLAUNCH"},
    KvmName{vmptrld, "VMPTRLD"},
    KvmName{vmptrst, "VMPTRST"},
    KvmName{vmread, "VMREAD"},
    KvmName{vmresume, "VMRESUME"},
    KvmName{vmwrite, "VMWRITE"},
    KvmName{vmxoff, "VMOFF"},
    KvmName{vmxon, "VMON"},
    KvmName{control_register_access, "CR_ACCESS"},
    KvmName{mov_dr, "DR_ACCESS"},
    KvmName{io_instruction, "IO_INSTRUCTION"},
    KvmName{rdmsr, "MSR_READ"},
    KvmName{wrmsr, "MSR_WRITE"},
    KvmName{entry_failure_guest_state, "INVALID_STATE"},
    KvmName{entry_failure_msr_loading, "MSR_LOAD_FAIL"},
    KvmName{mwait, "MWAIT_INSTRUCTION"},
    KvmName{monitor_trap_flag, "MONITOR_TRAP_FLAG"},
    KvmName{monitor, "MONITOR_INSTRUCTION"},
    KvmName{pause, "PAUSE_INSTRUCTION"},
    KvmName{entry_failure_machine_check, "MCE_DURING_VMENTRY"},
    KvmName{tpr_below_threshold, "TPR_BELOW_THRESHOLD"},
    KvmName{apic_access, "APIC_ACCESS"},
    KvmName{virtualized_eoi, "EOI_INDUCED"},
    KvmName{access_to_gdtr_or_idtr, "GDTR_IDTR"},
    KvmName{access_to_ldtr_or_tr, "LDTR_TR"},
    KvmName{ept_violation, "EPT_VIOLATION"},
    KvmName{ept_misconfiguration, "EPT_MISCONFIG"},
    KvmName{invept, "INVEPT"},
    KvmName{rdtscp, "RDTSCP"},
    KvmName{vmx_preemption_timer_expired, "PREEMPTION_TIMER"},
    KvmName{invvpid, "INVVPID"},
    KvmName{wbinvd_or_wbnoinvd, "WBINVD"},
    KvmName{xsetbv, "XSETBV"},
    KvmName{apic_write, "APIC_WRITE"},
    KvmName{rdrand, "RDRAND"},
    KvmName{invpcid, "INVPCID"},
    KvmName{vmfunc, "VMFUNC"},
    KvmName{encls, "ENCLS"},
    KvmName{rdseed, "RDSEED"},
    KvmName{page_modification_log_full, "PML_FULL"},
    KvmName{xsaves, "XSAVES"},
    KvmName{xrstors, "XRSTORS"},
    KvmName{umwait, "UMWAIT"},
    KvmName{tpause, "TPAUSE"},
    KvmName{bus_lock, "BUS_LOCK"},
    KvmName{instruction_timeout, "NOTIFY"},
};

constexpr std::array<std::string_view, 22> exception_names{
    "#DE", "#DB", "#2",  "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", "#9",  "#TS",
    "#NP", "#SS", "#GP", "#PF", "#15", "#MF", "#AC", "#MC", "#XM", "#VE", "#CP"};

std::string exception_name(u8 vector) {
    return vector < exception_names.size() ? std::string{exception_names[vector]}
                                           : fmt::format("#{}", vector);
}

}  // namespace

std::string_view kvm_name(u16 number) {
    const auto found = std::ranges::find(kvm_names, BasicReason{number}, &KvmName::reason);
    return found != kvm_names.end() ? found->name : std::string_view{};
}

std::optional<u16> parse_reason(std::string_view text) {
    if (text.empty()) return std::nullopt;
    for (u16 number = 0; number < reason_limit; ++number)
        if (text == postern::name_of(BasicReason{number}) || text == kvm_name(number))
            return number;
    const auto number = parse_number(text);
    if (!number || *number > 0xffff) return std::nullopt;
    return static_cast<u16>(*number);
}

std::string reason_name(u16 number) {
    if (number == no_exit_reason) return "no_exit";
    if (number >= reason_limit) return fmt::format("unknown_{}", number);
    return std::string{postern::name_of(BasicReason{number})};
}

std::string event_class(u32 information) {
    const auto event = InterruptionInformation::from_raw(information);
    const u8 vector = event.vector();
    switch (event.type()) {
        case InterruptionType::external: return fmt::format("interrupt {:#x}", vector);
        case InterruptionType::nmi: return "NMI";
        case InterruptionType::software_interrupt: return fmt::format("INT {:#x}", vector);
        case InterruptionType::other_event: return "pending MTF";
        default: return exception_name(vector);
    }
}

std::string event_text(u32 information, u32 error_code) {
    const auto event = InterruptionInformation::from_raw(information);
    return event.error_code_valid() ? fmt::format("{}({:#x})", event_class(information), error_code)
                                    : event_class(information);
}

std::string mrenclave_text(const hv::EnclaveIdentity& enclave) {
    if (enclave.initialized == 0) return "not initialized";
    std::string text;
    for (const u8 byte : enclave.mrenclave) text += fmt::format("{:02x}", byte);
    return text;
}

}  // namespace postern::app
