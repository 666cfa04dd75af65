// SPDX-License-Identifier: Apache-2.0
// What this processor's VMX can do: one row a control, implemented or not. The capability MSRs,
// the checks of VM entry and the VMCS fields that exist all follow from these rows.
#pragma once

#include <array>
#include <string_view>

#include "arch/regs/cr0.h"
#include "arch/regs/cr4.h"
#include "arch/vmx/capability.h"
#include "arch/vmx/controls.h"
#include "base/table.h"

namespace postern::cpu::vmx {

/// Some control bit is not implemented: VM entry refuses its 1-setting.
struct ControlRow {
    ControlWord word;
    u8 bit;
    bool implemented;
    std::string_view title;  // the manual's name

    constexpr ControlRow(PinControl b, bool i, std::string_view t)
        : word{ControlWord::pin}, bit{static_cast<u8>(b)}, implemented{i}, title{t} {}
    constexpr ControlRow(PrimaryControl b, bool i, std::string_view t)
        : word{ControlWord::primary}, bit{static_cast<u8>(b)}, implemented{i}, title{t} {}
    constexpr ControlRow(SecondaryControl b, bool i, std::string_view t)
        : word{ControlWord::secondary}, bit{static_cast<u8>(b)}, implemented{i}, title{t} {}
    constexpr ControlRow(ExitControl b, bool i, std::string_view t)
        : word{ControlWord::exit}, bit{static_cast<u8>(b)}, implemented{i}, title{t} {}
    constexpr ControlRow(EntryControl b, bool i, std::string_view t)
        : word{ControlWord::entry}, bit{static_cast<u8>(b)}, implemented{i}, title{t} {}
};

inline constexpr bool yes = true;
inline constexpr bool no = false;

inline constexpr std::array control_rows{
    ControlRow{PinControl::external_interrupt_exiting, yes, "External-interrupt exiting"},
    ControlRow{PinControl::nmi_exiting, yes, "NMI exiting"},
    ControlRow{PinControl::virtual_nmis, yes, "Virtual NMIs"},
    ControlRow{PinControl::activate_vmx_preemption_timer, yes, "Activate VMX-preemption timer"},
    ControlRow{PinControl::process_posted_interrupts, yes, "Process posted interrupts"},

    ControlRow{PrimaryControl::interrupt_window_exiting, yes, "Interrupt-window exiting"},
    ControlRow{PrimaryControl::use_tsc_offsetting, yes, "Use TSC offsetting"},
    ControlRow{PrimaryControl::hlt_exiting, yes, "HLT exiting"},
    ControlRow{PrimaryControl::invlpg_exiting, yes, "INVLPG exiting"},
    ControlRow{PrimaryControl::mwait_exiting, yes, "MWAIT exiting"},
    ControlRow{PrimaryControl::rdpmc_exiting, yes, "RDPMC exiting"},
    ControlRow{PrimaryControl::rdtsc_exiting, yes, "RDTSC exiting"},
    ControlRow{PrimaryControl::cr3_load_exiting, yes, "CR3-load exiting"},
    ControlRow{PrimaryControl::cr3_store_exiting, yes, "CR3-store exiting"},
    ControlRow{PrimaryControl::activate_tertiary_controls, no, "Activate tertiary controls"},
    ControlRow{PrimaryControl::cr8_load_exiting, yes, "CR8-load exiting"},
    ControlRow{PrimaryControl::cr8_store_exiting, yes, "CR8-store exiting"},
    ControlRow{PrimaryControl::use_tpr_shadow, yes, "Use TPR shadow"},
    ControlRow{PrimaryControl::nmi_window_exiting, yes, "NMI-window exiting"},
    ControlRow{PrimaryControl::mov_dr_exiting, yes, "MOV-DR exiting"},
    ControlRow{PrimaryControl::unconditional_io_exiting, yes, "Unconditional I/O exiting"},
    ControlRow{PrimaryControl::use_io_bitmaps, yes, "Use I/O bitmaps"},
    ControlRow{PrimaryControl::monitor_trap_flag, yes, "Monitor trap flag"},
    ControlRow{PrimaryControl::use_msr_bitmaps, yes, "Use MSR bitmaps"},
    ControlRow{PrimaryControl::monitor_exiting, yes, "MONITOR exiting"},
    ControlRow{PrimaryControl::pause_exiting, yes, "PAUSE exiting"},
    ControlRow{PrimaryControl::activate_secondary_controls, yes, "Activate secondary controls"},

    ControlRow{SecondaryControl::virtualize_apic_accesses, yes, "Virtualize APIC accesses"},
    ControlRow{SecondaryControl::enable_ept, yes, "Enable EPT"},
    ControlRow{SecondaryControl::descriptor_table_exiting, yes, "Descriptor-table exiting"},
    ControlRow{SecondaryControl::enable_rdtscp, yes, "Enable RDTSCP"},
    ControlRow{SecondaryControl::virtualize_x2apic_mode, yes, "Virtualize x2APIC mode"},
    ControlRow{SecondaryControl::enable_vpid, yes, "Enable VPID"},
    ControlRow{SecondaryControl::wbinvd_exiting, yes, "WBINVD exiting"},
    ControlRow{SecondaryControl::unrestricted_guest, yes, "Unrestricted guest"},
    ControlRow{SecondaryControl::apic_register_virtualization, yes, "APIC-register virtualization"},
    ControlRow{SecondaryControl::virtual_interrupt_delivery, yes, "Virtual-interrupt delivery"},
    ControlRow{SecondaryControl::pause_loop_exiting, yes, "PAUSE-loop exiting"},
    ControlRow{SecondaryControl::rdrand_exiting, yes, "RDRAND exiting"},
    ControlRow{SecondaryControl::enable_invpcid, yes, "Enable INVPCID"},
    ControlRow{SecondaryControl::enable_vm_functions, no, "Enable VM functions"},
    ControlRow{SecondaryControl::vmcs_shadowing, no, "VMCS shadowing"},
    ControlRow{SecondaryControl::enable_encls_exiting, yes, "Enable ENCLS exiting"},
    ControlRow{SecondaryControl::rdseed_exiting, yes, "RDSEED exiting"},
    ControlRow{SecondaryControl::enable_pml, yes, "Enable PML"},
    ControlRow{SecondaryControl::ept_violation_ve, no, "EPT-violation #VE"},
    ControlRow{SecondaryControl::conceal_vmx_from_pt, no, "Conceal VMX from PT"},
    ControlRow{SecondaryControl::enable_xsaves_xrstors, yes, "Enable XSAVES/XRSTORS"},
    ControlRow{SecondaryControl::enable_pasid_translation, no, "Enable PASID translation"},
    ControlRow{SecondaryControl::mode_based_execute_control, no,
               "Mode-based execute control for EPT"},
    ControlRow{SecondaryControl::sub_page_write_permissions, no,
               "Sub-page write permissions for EPT"},
    ControlRow{SecondaryControl::pt_uses_guest_physical_addresses, no,
               "Intel PT uses guest physical addresses"},
    ControlRow{SecondaryControl::use_tsc_scaling, yes, "Use TSC scaling"},
    ControlRow{SecondaryControl::enable_user_wait_and_pause, yes, "Enable user wait and pause"},
    ControlRow{SecondaryControl::enable_pconfig, no, "Enable PCONFIG"},
    ControlRow{SecondaryControl::enable_enclv_exiting, no, "Enable ENCLV exiting"},
    ControlRow{SecondaryControl::enable_epc_virtualization_extensions, no,
               "Enable EPC virtualization extensions"},
    ControlRow{SecondaryControl::vmm_bus_lock_detection, no, "VMM bus-lock detection"},
    ControlRow{SecondaryControl::instruction_timeout, no, "Instruction timeout"},

    ControlRow{ExitControl::save_debug_controls, yes, "Save debug controls"},
    ControlRow{ExitControl::host_address_space_size, yes, "Host address-space size"},
    ControlRow{ExitControl::load_ia32_perf_global_ctrl, no, "Load IA32_PERF_GLOBAL_CTRL"},
    ControlRow{ExitControl::acknowledge_interrupt_on_exit, yes, "Acknowledge interrupt on exit"},
    ControlRow{ExitControl::save_ia32_pat, yes, "Save IA32_PAT"},
    ControlRow{ExitControl::load_ia32_pat, yes, "Load IA32_PAT"},
    ControlRow{ExitControl::save_ia32_efer, yes, "Save IA32_EFER"},
    ControlRow{ExitControl::load_ia32_efer, yes, "Load IA32_EFER"},
    ControlRow{ExitControl::save_vmx_preemption_timer_value, yes,
               "Save VMX-preemption timer value"},
    ControlRow{ExitControl::clear_ia32_bndcfgs, no, "Clear IA32_BNDCFGS"},
    ControlRow{ExitControl::conceal_vmx_from_pt, no, "Conceal VMX from PT"},
    ControlRow{ExitControl::clear_ia32_rtit_ctl, no, "Clear IA32_RTIT_CTL"},
    ControlRow{ExitControl::clear_ia32_lbr_ctl, no, "Clear IA32_LBR_CTL"},
    ControlRow{ExitControl::clear_uinv, no, "Clear UINV"},
    ControlRow{ExitControl::load_cet_state, no, "Load CET state"},
    ControlRow{ExitControl::load_pkrs, no, "Load PKRS"},
    ControlRow{ExitControl::save_ia32_perf_global_ctrl, no, "Save IA32_PERF_GLOBAL_CTL"},
    ControlRow{ExitControl::activate_secondary_controls, no, "Activate secondary controls"},

    ControlRow{EntryControl::load_debug_controls, yes, "Load debug controls"},
    ControlRow{EntryControl::ia32e_mode_guest, yes, "IA-32e mode guest"},
    ControlRow{EntryControl::entry_to_smm, no, "Entry to SMM"},
    ControlRow{EntryControl::deactivate_dual_monitor_treatment, no,
               "Deactivate dual-monitor treatment"},
    ControlRow{EntryControl::load_ia32_perf_global_ctrl, no, "Load IA32_PERF_GLOBAL_CTRL"},
    ControlRow{EntryControl::load_ia32_pat, yes, "Load IA32_PAT"},
    ControlRow{EntryControl::load_ia32_efer, yes, "Load IA32_EFER"},
    ControlRow{EntryControl::load_ia32_bndcfgs, no, "Load IA32_BNDCFGS"},
    ControlRow{EntryControl::conceal_vmx_from_pt, no, "Conceal VMX from PT"},
    ControlRow{EntryControl::load_ia32_rtit_ctl, no, "Load IA32_RTIT_CTL"},
    ControlRow{EntryControl::load_uinv, no, "Load UINV"},
    ControlRow{EntryControl::load_cet_state, no, "Load CET state"},
    ControlRow{EntryControl::load_guest_ia32_lbr_ctl, no, "Load guest IA32_LBR_CTL"},
    ControlRow{EntryControl::load_pkrs, no, "Load PKRS"},
    ControlRow{EntryControl::load_ia32_fred, no, "Load IA32_FRED"},
};

static_assert(is_strictly_sorted(control_rows, [](const ControlRow& row) {
    return static_cast<unsigned>(row.word) * 32 + row.bit;
}));

/// The bits of `word` whose 1-setting is implemented.
constexpr u32 implemented(ControlWord word) {
    u32 mask = 0;
    for (const ControlRow& row : control_rows)
        if (row.word == word && row.implemented) mask |= u32{1} << row.bit;
    return mask;
}

constexpr DefaultOnes default_ones(ControlWord word) {
    switch (word) {
        case ControlWord::pin: return pin_default1;
        case ControlWord::primary: return primary_default1;
        case ControlWord::secondary: return {0, 0};
        case ControlWord::exit: return exit_default1;
        case ControlWord::entry: return entry_default1;
    }
    return {0, 0};
}

/// The plain capability MSR of `word`.
constexpr ControlCapability plain_capability(ControlWord word) {
    const u32 ones = default_ones(word).plain;
    return {ones, ones | implemented(word)};
}

/// The TRUE capability MSR: what VM entry goes by.
constexpr ControlCapability true_capability(ControlWord word) {
    const u32 ones = default_ones(word).true_controls;
    return {ones, ones | implemented(word)};
}

inline constexpr SupportedControls supported_controls{
    .pin = PinControls::from_raw(implemented(ControlWord::pin)),
    .primary = PrimaryControls::from_raw(implemented(ControlWord::primary)),
    .secondary = SecondaryControls::from_raw(implemented(ControlWord::secondary)),
    .tertiary = {},
    .exit = ExitControls::from_raw(implemented(ControlWord::exit)),
    .secondary_exit = {},
    .entry = EntryControls::from_raw(implemented(ControlWord::entry)),
};

constexpr bool field_exists(VmcsField field) {
    return has_capability(supported_controls, vmcs_field_rows[vmcs_index(field)].capability);
}

/// The bytes that VMXON and VMPTRLD compare.
inline constexpr u32 vmcs_revision = 0x0050'5354;
inline constexpr VmxBasic vmx_basic =
    VmxBasic::of(vmcs_revision, 4096).with_ins_outs().with_true_controls();

inline constexpr unsigned cr3_target_limit = 4;
inline constexpr unsigned hlt_shutdown_and_wait_for_sipi = 7;
/// The timer counts instructions (docs/decisions/). VMWRITE to read-only fields fails: it is
/// there for VMCS shadowing, which is not.
inline constexpr VmxMisc vmx_misc = VmxMisc{}
                                        .with_lma_stored()
                                        .with_activities(hlt_shutdown_and_wait_for_sipi)
                                        .with_cr3_target_count(cr3_target_limit)
                                        .with_zero_length_injection();

inline constexpr EptVpidCapabilities ept_vpid_capabilities{
    EptVpidCapability::execute_only,
    EptVpidCapability::page_walk_4,
    EptVpidCapability::memory_type_uc,
    EptVpidCapability::memory_type_wb,
    EptVpidCapability::pages_2m,
    EptVpidCapability::pages_1g,
    EptVpidCapability::invept,
    EptVpidCapability::accessed_and_dirty,
    EptVpidCapability::advanced_exit_information,
    EptVpidCapability::invept_single_context,
    EptVpidCapability::invept_all_contexts,
    EptVpidCapability::invvpid,
    EptVpidCapability::invvpid_individual_address,
    EptVpidCapability::invvpid_single_context,
    EptVpidCapability::invvpid_all_contexts,
    EptVpidCapability::invvpid_single_context_retaining_globals,
};

inline constexpr u64 cr0_fixed0 = Cr0Word{Cr0::pe, Cr0::ne, Cr0::pg}.to_raw();
inline constexpr u64 cr0_fixed1 = 0xffff'ffff;
inline constexpr u64 cr4_fixed0 = Cr4Word{Cr4::vmxe}.to_raw();

}  // namespace postern::cpu::vmx
