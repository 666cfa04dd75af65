// SPDX-License-Identifier: Apache-2.0
// The VM-execution, VM-exit and VM-entry controls, and the capability MSRs that say which
// settings a processor takes.
#pragma once

#include "base/flag_word.h"

namespace postern {

/// SDM 3C, "Pin-Based VM-Execution Controls".
enum class PinControl : u8 {
    external_interrupt_exiting = 0,
    nmi_exiting = 3,
    virtual_nmis = 5,
    activate_vmx_preemption_timer = 6,
    process_posted_interrupts = 7,
};
using PinControls = FlagWord<PinControl, u32>;

/// SDM 3C, "Processor-Based VM-Execution Controls", table "Primary".
enum class PrimaryControl : u8 {
    interrupt_window_exiting = 2,
    use_tsc_offsetting = 3,
    hlt_exiting = 7,
    invlpg_exiting = 9,
    mwait_exiting = 10,
    rdpmc_exiting = 11,
    rdtsc_exiting = 12,
    cr3_load_exiting = 15,
    cr3_store_exiting = 16,
    activate_tertiary_controls = 17,
    cr8_load_exiting = 19,
    cr8_store_exiting = 20,
    use_tpr_shadow = 21,
    nmi_window_exiting = 22,
    mov_dr_exiting = 23,
    unconditional_io_exiting = 24,
    use_io_bitmaps = 25,
    monitor_trap_flag = 27,
    use_msr_bitmaps = 28,
    monitor_exiting = 29,
    pause_exiting = 30,
    activate_secondary_controls = 31,
};
using PrimaryControls = FlagWord<PrimaryControl, u32>;

/// SDM 3C, "Processor-Based VM-Execution Controls", table "Secondary".
enum class SecondaryControl : u8 {
    virtualize_apic_accesses = 0,
    enable_ept = 1,
    descriptor_table_exiting = 2,
    enable_rdtscp = 3,
    virtualize_x2apic_mode = 4,
    enable_vpid = 5,
    wbinvd_exiting = 6,
    unrestricted_guest = 7,
    apic_register_virtualization = 8,
    virtual_interrupt_delivery = 9,
    pause_loop_exiting = 10,
    rdrand_exiting = 11,
    enable_invpcid = 12,
    enable_vm_functions = 13,
    vmcs_shadowing = 14,
    enable_encls_exiting = 15,
    rdseed_exiting = 16,
    enable_pml = 17,
    ept_violation_ve = 18,
    conceal_vmx_from_pt = 19,
    enable_xsaves_xrstors = 20,
    enable_pasid_translation = 21,
    mode_based_execute_control = 22,
    sub_page_write_permissions = 23,
    pt_uses_guest_physical_addresses = 24,
    use_tsc_scaling = 25,
    enable_user_wait_and_pause = 26,
    enable_pconfig = 27,
    enable_enclv_exiting = 28,
    enable_epc_virtualization_extensions = 29,
    vmm_bus_lock_detection = 30,
    instruction_timeout = 31,
};
using SecondaryControls = FlagWord<SecondaryControl, u32>;

/// SDM 3C, "Processor-Based VM-Execution Controls", table "Tertiary". A 64-bit field.
enum class TertiaryControl : u8 {
    loadiwkey_exiting = 0,
    enable_hlat = 1,
    ept_paging_write_control = 2,
    guest_paging_verification = 3,
    ipi_virtualization = 4,
    enable_msr_list_instructions = 6,
    virtualize_ia32_spec_ctrl = 7,
    guest_apic_timer_virtualization = 8,
};
using TertiaryControls = FlagWord<TertiaryControl, u64>;

/// SDM 3C, "VM-Exit Controls", table "Primary".
enum class ExitControl : u8 {
    save_debug_controls = 2,
    host_address_space_size = 9,
    load_ia32_perf_global_ctrl = 12,
    acknowledge_interrupt_on_exit = 15,
    save_ia32_pat = 18,
    load_ia32_pat = 19,
    save_ia32_efer = 20,
    load_ia32_efer = 21,
    save_vmx_preemption_timer_value = 22,
    clear_ia32_bndcfgs = 23,
    conceal_vmx_from_pt = 24,
    clear_ia32_rtit_ctl = 25,
    clear_ia32_lbr_ctl = 26,
    clear_uinv = 27,
    load_cet_state = 28,
    load_pkrs = 29,
    save_ia32_perf_global_ctrl = 30,
    activate_secondary_controls = 31,
};
using ExitControls = FlagWord<ExitControl, u32>;

/// SDM 3C, "VM-Exit Controls", table "Secondary". A 64-bit field.
enum class SecondaryExitControl : u8 {
    save_ia32_fred = 0,
    load_ia32_fred = 1,
    prematurely_busy_shadow_stack = 3,
};
using SecondaryExitControls = FlagWord<SecondaryExitControl, u64>;

/// SDM 3C, "VM-Entry Controls".
enum class EntryControl : u8 {
    load_debug_controls = 2,
    ia32e_mode_guest = 9,
    entry_to_smm = 10,
    deactivate_dual_monitor_treatment = 11,
    load_ia32_perf_global_ctrl = 13,
    load_ia32_pat = 14,
    load_ia32_efer = 15,
    load_ia32_bndcfgs = 16,
    conceal_vmx_from_pt = 17,
    load_ia32_rtit_ctl = 18,
    load_uinv = 19,
    load_cet_state = 20,
    load_guest_ia32_lbr_ctl = 21,
    load_pkrs = 22,
    load_ia32_fred = 23,
};
using EntryControls = FlagWord<EntryControl, u32>;

/// The controls whose 0-setting the plain capability MSR never allows, and those of them whose
/// 0-setting not even the TRUE MSR allows. SDM 3D, appendix "Reserved Controls and Default
/// Settings".
struct DefaultOnes {
    u32 plain;
    u32 true_controls;
};
inline constexpr DefaultOnes pin_default1{0x0000'0016, 0x0000'0016};
inline constexpr DefaultOnes primary_default1{0x0401'e172, 0x0400'6172};
inline constexpr DefaultOnes exit_default1{0x0003'6dff, 0x0003'6dfb};
inline constexpr DefaultOnes entry_default1{0x0000'11ff, 0x0000'11fb};

/// A capability MSR of 32-bit controls: bits that must be 1 below, bits that may be 1 above.
/// SDM 3D, appendix "VM-Execution Controls".
class ControlCapability {
public:
    constexpr ControlCapability() = default;
    constexpr ControlCapability(u32 must_be_1, u32 may_be_1)
        : raw_{u64{must_be_1} | u64{may_be_1} << 32} {}
    static constexpr ControlCapability from_raw(u64 raw) {
        ControlCapability capability;
        capability.raw_ = raw;
        return capability;
    }
    [[nodiscard]] constexpr u64 to_raw() const { return raw_; }

    [[nodiscard]] constexpr u32 must_be_1() const { return static_cast<u32>(raw_); }
    [[nodiscard]] constexpr u32 may_be_1() const { return static_cast<u32>(raw_ >> 32); }
    /// VM entry takes this setting.
    [[nodiscard]] constexpr bool accepts(u32 controls) const {
        return (must_be_1() & ~controls) == 0 && (controls & ~may_be_1()) == 0;
    }
    /// `wanted` with the bits that must be 1 added; what may not be 1 stays for accepts() to see.
    [[nodiscard]] constexpr u32 completed(u32 wanted) const { return wanted | must_be_1(); }
    template <class Bit>
    [[nodiscard]] constexpr bool allows(Bit control) const {
        return (may_be_1() >> static_cast<unsigned>(control) & 1) != 0;
    }

private:
    u64 raw_ = 0;
};

}  // namespace postern
