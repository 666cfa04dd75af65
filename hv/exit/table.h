// SPDX-License-Identifier: Apache-2.0
// The exit table: every basic exit reason has one row, and every row answers the enclave
// question three times. "never" is an answer too: it says what the processor raises instead.
#pragma once

#include <array>

#include "arch/vmx/exit_reason.h"
#include "hv/exit/handlers.h"
#include "hv/nested/vmcs12.h"

namespace postern::hv {

using OnNormal = Next (*)(NormalExit&);
using OnEnclave = Next (*)(EnclaveExit&);
using OnDelivery = Next (*)(EnclaveDelivery&);
/// Whether the L1 hypervisor wants this exit of its guest, as far as its controls alone can say;
/// bitmaps in L1's memory, masks and its EPT are asked in hv/nested/wants.cpp.
using WantedByL1 = bool (*)(const Vmcs12&);

struct ExitRow {
    BasicReason reason;
    OnNormal normal;
    OnEnclave enclave;
    OnDelivery delivery;
    WantedByL1 wanted;
};

using Primary = PrimaryControl;
using Secondary = SecondaryControl;

constexpr bool always(const Vmcs12&) { return true; }
constexpr bool never(const Vmcs12&) { return false; }
template <auto control>
constexpr bool when(const Vmcs12& l1) {
    return l1.has(control);
}
template <auto first, auto second>
constexpr bool when_any(const Vmcs12& l1) {
    return when<first>(l1) || when<second>(l1);
}

/// SDM 3D, appendix "VMX Basic Exit Reasons". What an enclave can exit by: SDM 3D, "VMM
/// Interactions with SGX" and "Illegal Instructions".
inline constexpr std::array exit_rows{
    ExitRow{BasicReason::exception_or_nmi, on_exception, on_enclave_exception,
            on_delivery_exception, always},
    ExitRow{BasicReason::external_interrupt, on_acknowledged, on_enclave_acknowledged,
            never_in_delivery, never},
    ExitRow{BasicReason::triple_fault, on_triple_fault, on_enclave_triple_fault,
            on_delivery_triple_fault, always},
    ExitRow{BasicReason::init_signal, on_unimplemented_event, on_enclave_unimplemented_event,
            on_delivery_unimplemented, always},
    ExitRow{BasicReason::startup_ipi, on_unimplemented_event, never_from_enclave_event,
            never_in_delivery, always},
    ExitRow{BasicReason::io_smi, on_unimplemented_event, never_from_enclave_event,
            never_in_delivery, always},
    ExitRow{BasicReason::other_smi, on_unimplemented_event, on_enclave_unimplemented_event,
            on_delivery_unimplemented, always},
    ExitRow{BasicReason::interrupt_window, on_window, on_enclave_window, never_in_delivery,
            when<Primary::interrupt_window_exiting>},
    ExitRow{BasicReason::nmi_window, on_window, on_enclave_window, never_in_delivery,
            when<Primary::nmi_window_exiting>},
    ExitRow{BasicReason::task_switch, on_task_switch, never_from_enclave_ud,
            on_delivery_unimplemented, always},
    ExitRow{BasicReason::cpuid, on_cpuid, never_from_enclave_ud, never_in_delivery, always},
    ExitRow{BasicReason::getsec, on_undefined_instruction, never_from_enclave_ud, never_in_delivery,
            always},
    ExitRow{BasicReason::hlt, on_hlt, never_from_enclave_gp, never_in_delivery,
            when<Primary::hlt_exiting>},
    ExitRow{BasicReason::invd, on_cache_flush, never_from_enclave_gp, never_in_delivery, always},
    ExitRow{BasicReason::invlpg, on_hidden_or_forced, never_from_enclave_gp, never_in_delivery,
            when<Primary::invlpg_exiting>},
    ExitRow{BasicReason::rdpmc, on_hidden_or_forced, never_from_enclave_ud, never_in_delivery,
            when<Primary::rdpmc_exiting>},
    ExitRow{BasicReason::rdtsc, on_hidden_or_forced, on_enclave_hidden_or_forced, never_in_delivery,
            when<Primary::rdtsc_exiting>},
    ExitRow{BasicReason::rsm, on_undefined_instruction, never_from_enclave_ud, never_in_delivery,
            always},
    ExitRow{BasicReason::vmcall, on_vmx_instruction, never_from_enclave_ud, never_in_delivery,
            always},
    ExitRow{BasicReason::vmclear, on_vmx_instruction, on_enclave_undefined, never_in_delivery,
            always},
    ExitRow{BasicReason::vmlaunch, on_vmx_instruction, on_enclave_undefined, never_in_delivery,
            always},
    ExitRow{BasicReason::vmptrld, on_vmx_instruction, on_enclave_undefined, never_in_delivery,
            always},
    ExitRow{BasicReason::vmptrst, on_vmx_instruction, on_enclave_undefined, never_in_delivery,
            always},
    ExitRow{BasicReason::vmread, on_vmx_instruction, on_enclave_undefined, never_in_delivery,
            always},
    ExitRow{BasicReason::vmresume, on_vmx_instruction, on_enclave_undefined, never_in_delivery,
            always},
    ExitRow{BasicReason::vmwrite, on_vmx_instruction, on_enclave_undefined, never_in_delivery,
            always},
    ExitRow{BasicReason::vmxoff, on_vmx_instruction, on_enclave_undefined, never_in_delivery,
            always},
    ExitRow{BasicReason::vmxon, on_vmx_instruction, on_enclave_undefined, never_in_delivery,
            always},
    ExitRow{BasicReason::control_register_access, on_control_register, never_from_enclave_gp,
            never_in_delivery, always},
    ExitRow{BasicReason::mov_dr, on_mov_dr, on_enclave_mov_dr, never_in_delivery,
            when<Primary::mov_dr_exiting>},
    ExitRow{BasicReason::io_instruction, on_io, never_from_enclave_ud, never_in_delivery,
            when_any<Primary::unconditional_io_exiting, Primary::use_io_bitmaps>},
    ExitRow{BasicReason::rdmsr, on_rdmsr, never_from_enclave_gp, never_in_delivery, always},
    ExitRow{BasicReason::wrmsr, on_wrmsr, never_from_enclave_gp, never_in_delivery, always},
    ExitRow{BasicReason::entry_failure_guest_state, on_corrupt, corrupt_from_enclave,
            corrupt_in_delivery, always},
    ExitRow{BasicReason::entry_failure_msr_loading, on_corrupt, corrupt_from_enclave,
            corrupt_in_delivery, always},
    ExitRow{BasicReason::reserved_35, on_corrupt, corrupt_from_enclave, corrupt_in_delivery,
            always},
    ExitRow{BasicReason::mwait, on_hidden_or_forced, never_from_enclave_ud, never_in_delivery,
            when<Primary::mwait_exiting>},
    ExitRow{BasicReason::monitor_trap_flag, on_acknowledged, on_enclave_acknowledged,
            never_in_delivery, always},
    ExitRow{BasicReason::reserved_38, on_corrupt, corrupt_from_enclave, corrupt_in_delivery,
            always},
    ExitRow{BasicReason::monitor, on_hidden_or_forced, never_from_enclave_ud, never_in_delivery,
            when<Primary::monitor_exiting>},
    ExitRow{BasicReason::pause, on_hidden_or_forced, on_enclave_hidden_or_forced, never_in_delivery,
            when_any<Primary::pause_exiting, Secondary::pause_loop_exiting>},
    ExitRow{BasicReason::entry_failure_machine_check, on_corrupt, corrupt_from_enclave,
            corrupt_in_delivery, never},
    ExitRow{BasicReason::reserved_42, on_corrupt, corrupt_from_enclave, corrupt_in_delivery,
            always},
    ExitRow{BasicReason::tpr_below_threshold, on_acknowledged, never_from_enclave_event,
            never_in_delivery, when<Primary::use_tpr_shadow>},
    ExitRow{BasicReason::apic_access, on_apic_access, on_enclave_device, on_delivery_onto_device,
            always},
    ExitRow{BasicReason::virtualized_eoi, on_virtualized_eoi, never_from_enclave_event,
            never_in_delivery, always},
    ExitRow{BasicReason::access_to_gdtr_or_idtr, on_hidden_or_forced, never_from_enclave_ud,
            never_in_delivery, when<Secondary::descriptor_table_exiting>},
    ExitRow{BasicReason::access_to_ldtr_or_tr, on_hidden_or_forced, never_from_enclave_ud,
            never_in_delivery, when<Secondary::descriptor_table_exiting>},
    ExitRow{BasicReason::ept_violation, on_ept, on_enclave_ept, on_delivery_ept, never},
    ExitRow{BasicReason::ept_misconfiguration, on_ept, on_enclave_ept, on_delivery_ept, never},
    ExitRow{BasicReason::invept, on_vmx_instruction, on_enclave_undefined, never_in_delivery,
            always},
    ExitRow{BasicReason::rdtscp, on_hidden_or_forced, on_enclave_hidden_or_forced,
            never_in_delivery, when<Primary::rdtsc_exiting>},
    ExitRow{BasicReason::vmx_preemption_timer_expired, on_preemption_timer,
            on_enclave_preemption_timer, never_in_delivery,
            when<PinControl::activate_vmx_preemption_timer>},
    ExitRow{BasicReason::invvpid, on_vmx_instruction, on_enclave_undefined, never_in_delivery,
            always},
    ExitRow{BasicReason::wbinvd_or_wbnoinvd, on_cache_flush, never_from_enclave_gp,
            never_in_delivery, when<Secondary::wbinvd_exiting>},
    ExitRow{BasicReason::xsetbv, on_xsetbv, never_from_enclave_gp, never_in_delivery, always},
    ExitRow{BasicReason::apic_write, on_apic_write, never_from_enclave_event, never_in_delivery,
            always},
    ExitRow{BasicReason::rdrand, on_hidden_or_forced, on_enclave_hidden_or_forced,
            never_in_delivery, when<Secondary::rdrand_exiting>},
    ExitRow{BasicReason::invpcid, on_hidden_or_forced, never_from_enclave_gp, never_in_delivery,
            when<Primary::invlpg_exiting>},
    ExitRow{BasicReason::vmfunc, on_undefined_instruction, never_from_enclave_ud, never_in_delivery,
            never},
    ExitRow{BasicReason::encls, on_encls, never_from_enclave_ud, never_in_delivery,
            when<Secondary::enable_encls_exiting>},
    ExitRow{BasicReason::rdseed, on_hidden_or_forced, on_enclave_hidden_or_forced,
            never_in_delivery, when<Secondary::rdseed_exiting>},
    ExitRow{BasicReason::page_modification_log_full, on_acknowledged, on_enclave_acknowledged,
            on_delivery_acknowledged, never},
    ExitRow{BasicReason::xsaves, on_unimplemented, never_from_enclave_gp, never_in_delivery,
            when<Secondary::enable_xsaves_xrstors>},
    ExitRow{BasicReason::xrstors, on_unimplemented, never_from_enclave_gp, never_in_delivery,
            when<Secondary::enable_xsaves_xrstors>},
    ExitRow{BasicReason::pconfig, on_undefined_instruction, never_from_enclave_gp,
            never_in_delivery, always},
    ExitRow{BasicReason::spp_related_event, on_unimplemented, on_enclave_acknowledged,
            on_delivery_acknowledged, always},
    ExitRow{BasicReason::umwait, on_hidden_or_forced, on_enclave_hidden_or_forced,
            never_in_delivery, when<Primary::rdtsc_exiting>},
    ExitRow{BasicReason::tpause, on_hidden_or_forced, on_enclave_hidden_or_forced,
            never_in_delivery, when<Primary::rdtsc_exiting>},
    ExitRow{BasicReason::loadiwkey, on_undefined_instruction, never_from_enclave_gp,
            never_in_delivery, always},
    ExitRow{BasicReason::enclv, on_undefined_instruction, never_from_enclave_ud, never_in_delivery,
            always},
    ExitRow{BasicReason::sgx_conflict, on_unimplemented, never_from_enclave_ud, never_in_delivery,
            always},
    ExitRow{BasicReason::enqcmd_pasid_translation_failure, on_undefined_instruction,
            on_enclave_device, never_in_delivery, always},
    ExitRow{BasicReason::enqcmds_pasid_translation_failure, on_undefined_instruction,
            never_from_enclave_gp, never_in_delivery, always},
    ExitRow{BasicReason::bus_lock, on_acknowledged, on_enclave_acknowledged,
            on_delivery_acknowledged, never},
    ExitRow{BasicReason::instruction_timeout, on_acknowledged, on_enclave_acknowledged,
            on_delivery_acknowledged, never},
    ExitRow{BasicReason::seamcall, on_undefined_instruction, never_from_enclave_ud,
            never_in_delivery, always},
    ExitRow{BasicReason::tdcall, on_undefined_instruction, never_from_enclave_ud, never_in_delivery,
            always},
    ExitRow{BasicReason::rdmsrlist, on_undefined_instruction, never_from_enclave_gp,
            never_in_delivery, always},
    ExitRow{BasicReason::wrmsrlist, on_undefined_instruction, never_from_enclave_gp,
            never_in_delivery, always},
    ExitRow{BasicReason::urdmsr, on_undefined_instruction, on_enclave_undefined, never_in_delivery,
            always},
    ExitRow{BasicReason::uwrmsr, on_undefined_instruction, on_enclave_undefined, never_in_delivery,
            always},
    ExitRow{BasicReason::reserved_82, on_corrupt, corrupt_from_enclave, corrupt_in_delivery,
            always},
    ExitRow{BasicReason::reserved_83, on_corrupt, corrupt_from_enclave, corrupt_in_delivery,
            always},
    ExitRow{BasicReason::rdmsr_immediate, on_undefined_instruction, never_from_enclave_gp,
            never_in_delivery, always},
    ExitRow{BasicReason::wrmsr_immediate, on_undefined_instruction, never_from_enclave_gp,
            never_in_delivery, always},
};

// Never defined and not constexpr: reaching one stops the build, and its name is the message.
void two_rows_for_one_exit_reason();
void a_row_leaves_a_question_open();
void an_exit_reason_has_no_row();
void a_row_has_no_exit_reason();

template <size_t count>
consteval auto index_exit_rows(const std::array<ExitRow, count>& rows) {
    std::array<const ExitRow*, reason_limit> table{};
    for (const ExitRow& row : rows) {
        const auto number = static_cast<size_t>(row.reason);
        if (number >= reason_limit) a_row_has_no_exit_reason();
        const ExitRow*& slot = table[number];
        if (slot != nullptr) two_rows_for_one_exit_reason();
        if (!row.normal || !row.enclave || !row.delivery || !row.wanted)
            a_row_leaves_a_question_open();
        slot = &row;
    }
    for (const ExitRow* row : table)
        if (row == nullptr) an_exit_reason_has_no_row();
    return table;
}

/// The row of each reason.
inline constexpr auto row_of_reason = index_exit_rows(exit_rows);

}  // namespace postern::hv
