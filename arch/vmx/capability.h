// SPDX-License-Identifier: Apache-2.0
// The VMX capability MSRs other than the control words, and which control brings which VMCS
// field. SDM 3D, appendix "VMX Capability Reporting Facility".
#pragma once

#include <array>

#include "arch/msr.h"
#include "arch/vmx/controls.h"
#include "arch/vmx/raw_view.h"
#include "arch/vmx/vmcs_field.h"

namespace postern {

/// The words of controls that have a capability MSR of must-be-1 and may-be-1 bits.
enum class ControlWord : u8 { pin, primary, secondary, exit, entry };

/// IA32_VMX_BASIC. SDM 3D, appendix "Basic VMX Information".
class VmxBasic : public RawView<VmxBasic, u64> {
public:
    [[nodiscard]] constexpr u32 revision() const { return field<30, 0>(); }
    [[nodiscard]] constexpr u32 region_size() const { return field<44, 32>(); }
    [[nodiscard]] constexpr bool addresses_are_32_bit() const { return flag<48>(); }
    [[nodiscard]] constexpr bool dual_monitor() const { return flag<49>(); }
    [[nodiscard]] constexpr MemoryType memory_type() const {
        return static_cast<MemoryType>(field<53, 50>());
    }
    [[nodiscard]] constexpr bool reports_ins_outs() const { return flag<54>(); }
    [[nodiscard]] constexpr bool has_true_controls() const { return flag<55>(); }
    /// A hardware exception may be injected with or without an error code.
    [[nodiscard]] constexpr bool any_error_code() const { return flag<56>(); }

    static constexpr VmxBasic of(u32 revision, u32 region_size) {
        return from_raw(revision).with_field<44, 32>(region_size).with_field<53, 50>(6);
    }
    [[nodiscard]] constexpr VmxBasic with_ins_outs(bool on = true) const {
        return with_flag<54>(on);
    }
    [[nodiscard]] constexpr VmxBasic with_true_controls(bool on = true) const {
        return with_flag<55>(on);
    }
    [[nodiscard]] constexpr VmxBasic with_any_error_code(bool on = true) const {
        return with_flag<56>(on);
    }
};

/// IA32_VMX_MISC. SDM 3D, appendix "Miscellaneous Data".
class VmxMisc : public RawView<VmxMisc, u64> {
public:
    /// The preemption timer counts when this bit of the TSC changes.
    [[nodiscard]] constexpr unsigned timer_shift() const { return field<4, 0>(); }
    [[nodiscard]] constexpr bool stores_lma() const { return flag<5>(); }
    /// `state` is not active.
    [[nodiscard]] constexpr bool supports_activity(unsigned state) const {
        return (to_raw() >> (5 + state) & 1) != 0;
    }
    [[nodiscard]] constexpr unsigned cr3_target_count() const { return field<24, 16>(); }
    /// The recommended maximum of entries in an MSR area.
    [[nodiscard]] constexpr unsigned msr_list_limit() const { return 512 * (field<27, 25>() + 1); }
    [[nodiscard]] constexpr bool vmwrite_any_field() const { return flag<29>(); }
    /// Software interrupts and exceptions may be injected with instruction length 0.
    [[nodiscard]] constexpr bool zero_length_injection() const { return flag<30>(); }
    [[nodiscard]] constexpr u32 mseg_revision() const { return field<63, 32>(); }

    [[nodiscard]] constexpr VmxMisc with_timer_shift(unsigned n) const {
        return with_field<4, 0>(n);
    }
    [[nodiscard]] constexpr VmxMisc with_lma_stored(bool on = true) const {
        return with_flag<5>(on);
    }
    /// Bits for HLT, shutdown and wait-for-SIPI, from bit 0 up.
    [[nodiscard]] constexpr VmxMisc with_activities(unsigned mask) const {
        return with_field<8, 6>(mask);
    }
    [[nodiscard]] constexpr VmxMisc with_cr3_target_count(unsigned n) const {
        return with_field<24, 16>(n);
    }
    [[nodiscard]] constexpr VmxMisc with_vmwrite_any_field(bool on = true) const {
        return with_flag<29>(on);
    }
    [[nodiscard]] constexpr VmxMisc with_zero_length_injection(bool on = true) const {
        return with_flag<30>(on);
    }
};

/// IA32_VMX_EPT_VPID_CAP. SDM 3D, appendix "VPID and EPT Capabilities".
enum class EptVpidCapability : u8 {
    execute_only = 0,
    page_walk_4 = 6,
    page_walk_5 = 7,
    memory_type_uc = 8,
    memory_type_wb = 14,
    pages_2m = 16,
    pages_1g = 17,
    invept = 20,
    accessed_and_dirty = 21,
    advanced_exit_information = 22,
    supervisor_shadow_stack = 23,
    invept_single_context = 25,
    invept_all_contexts = 26,
    invvpid = 32,
    invvpid_individual_address = 40,
    invvpid_single_context = 41,
    invvpid_all_contexts = 42,
    invvpid_single_context_retaining_globals = 43,
};
using EptVpidCapabilities = FlagWord<EptVpidCapability>;

/// SDM 3C, "INVEPT" and "INVVPID".
enum class InveptType : u8 { single_context = 1, all_contexts = 2 };
enum class InvvpidType : u8 {
    individual_address = 0,
    single_context = 1,
    all_contexts = 2,
    single_context_retaining_globals = 3,
};

/// The words of controls that a processor may support; a bit is set if its 1-setting is.
struct SupportedControls {
    PinControls pin;
    PrimaryControls primary;
    SecondaryControls secondary;
    TertiaryControls tertiary;
    ExitControls exit;
    SecondaryExitControls secondary_exit;
    EntryControls entry;
    u64 vm_functions = 0;
};

/// One control of one word.
struct ControlBit {
    enum class Word : u8 {
        none,
        pin,
        primary,
        secondary,
        tertiary,
        exit,
        secondary_exit,
        entry,
        vm_function,
    };

    constexpr ControlBit() = default;
    constexpr ControlBit(Word in, unsigned position) : word{in}, bit{static_cast<u8>(position)} {}
    // Implicit, so that a row of a table names the control alone.
    constexpr ControlBit(PinControl c) : ControlBit{Word::pin, static_cast<unsigned>(c)} {}
    constexpr ControlBit(PrimaryControl c) : ControlBit{Word::primary, static_cast<unsigned>(c)} {}
    constexpr ControlBit(SecondaryControl c)
        : ControlBit{Word::secondary, static_cast<unsigned>(c)} {}
    constexpr ControlBit(TertiaryControl c)
        : ControlBit{Word::tertiary, static_cast<unsigned>(c)} {}
    constexpr ControlBit(ExitControl c) : ControlBit{Word::exit, static_cast<unsigned>(c)} {}
    constexpr ControlBit(SecondaryExitControl c)
        : ControlBit{Word::secondary_exit, static_cast<unsigned>(c)} {}
    constexpr ControlBit(EntryControl c) : ControlBit{Word::entry, static_cast<unsigned>(c)} {}

    Word word = Word::none;
    u8 bit = 0;
};

constexpr bool has_control(const SupportedControls& has, ControlBit control) {
    const auto is_set = [&](auto word) { return (word.to_raw() >> control.bit & 1) != 0; };
    switch (control.word) {
        case ControlBit::Word::none: return false;
        case ControlBit::Word::pin: return is_set(has.pin);
        case ControlBit::Word::primary: return is_set(has.primary);
        case ControlBit::Word::secondary: return is_set(has.secondary);
        case ControlBit::Word::tertiary: return is_set(has.tertiary);
        case ControlBit::Word::exit: return is_set(has.exit);
        case ControlBit::Word::secondary_exit: return is_set(has.secondary_exit);
        case ControlBit::Word::entry: return is_set(has.entry);
        case ControlBit::Word::vm_function: return (has.vm_functions >> control.bit & 1) != 0;
    }
    return false;
}

/// The control, or either of the two, whose 1-setting brings a capability. `base` needs none;
/// `shared_ept` is TDX's and no VMX control brings it.
struct CapabilityRow {
    VmcsCapability capability;
    ControlBit control;
    ControlBit or_control = {};  // NOLINT(readability-redundant-member-init): rows may leave it out
};

/// SDM 3C, "Virtual Machine Control Structures": "this field exists only on processors that
/// support the 1-setting of ..."
inline constexpr std::array capability_rows{
    CapabilityRow{VmcsCapability::base, {}},
    CapabilityRow{VmcsCapability::preemption_timer, PinControl::activate_vmx_preemption_timer},
    CapabilityRow{VmcsCapability::posted_interrupts, PinControl::process_posted_interrupts},
    CapabilityRow{VmcsCapability::tpr_shadow, PrimaryControl::use_tpr_shadow},
    CapabilityRow{VmcsCapability::msr_bitmaps, PrimaryControl::use_msr_bitmaps},
    CapabilityRow{VmcsCapability::secondary_controls, PrimaryControl::activate_secondary_controls},
    CapabilityRow{VmcsCapability::tertiary_controls, PrimaryControl::activate_tertiary_controls},
    CapabilityRow{VmcsCapability::virtualize_apic_accesses,
                  SecondaryControl::virtualize_apic_accesses},
    CapabilityRow{VmcsCapability::ept, SecondaryControl::enable_ept},
    CapabilityRow{VmcsCapability::vpid, SecondaryControl::enable_vpid},
    CapabilityRow{VmcsCapability::virtual_interrupt_delivery,
                  SecondaryControl::virtual_interrupt_delivery},
    CapabilityRow{VmcsCapability::pause_loop_exiting, SecondaryControl::pause_loop_exiting},
    CapabilityRow{VmcsCapability::vm_functions, SecondaryControl::enable_vm_functions},
    CapabilityRow{VmcsCapability::vmcs_shadowing, SecondaryControl::vmcs_shadowing},
    CapabilityRow{VmcsCapability::encls_exiting, SecondaryControl::enable_encls_exiting},
    CapabilityRow{VmcsCapability::pml, SecondaryControl::enable_pml},
    CapabilityRow{VmcsCapability::ept_violation_ve, SecondaryControl::ept_violation_ve},
    CapabilityRow{VmcsCapability::xsaves, SecondaryControl::enable_xsaves_xrstors},
    CapabilityRow{VmcsCapability::pasid_translation, SecondaryControl::enable_pasid_translation},
    CapabilityRow{VmcsCapability::sub_page_permissions,
                  SecondaryControl::sub_page_write_permissions},
    CapabilityRow{VmcsCapability::tsc_scaling, SecondaryControl::use_tsc_scaling},
    CapabilityRow{VmcsCapability::pconfig, SecondaryControl::enable_pconfig},
    CapabilityRow{VmcsCapability::enclv_exiting, SecondaryControl::enable_enclv_exiting},
    CapabilityRow{VmcsCapability::instruction_timeout, SecondaryControl::instruction_timeout},
    CapabilityRow{VmcsCapability::hlat, TertiaryControl::enable_hlat},
    CapabilityRow{VmcsCapability::ipi_virtualization, TertiaryControl::ipi_virtualization},
    CapabilityRow{VmcsCapability::spec_ctrl_virtualization,
                  TertiaryControl::virtualize_ia32_spec_ctrl},
    CapabilityRow{VmcsCapability::guest_apic_timer,
                  TertiaryControl::guest_apic_timer_virtualization},
    CapabilityRow{VmcsCapability::eptp_switching, ControlBit{ControlBit::Word::vm_function, 0}},
    CapabilityRow{VmcsCapability::load_perf_global_ctrl, EntryControl::load_ia32_perf_global_ctrl},
    CapabilityRow{VmcsCapability::load_pat, EntryControl::load_ia32_pat,
                  ExitControl::save_ia32_pat},
    CapabilityRow{VmcsCapability::load_efer, EntryControl::load_ia32_efer,
                  ExitControl::save_ia32_efer},
    CapabilityRow{VmcsCapability::load_bndcfgs, EntryControl::load_ia32_bndcfgs,
                  ExitControl::clear_ia32_bndcfgs},
    CapabilityRow{VmcsCapability::load_rtit_ctl, EntryControl::load_ia32_rtit_ctl,
                  ExitControl::clear_ia32_rtit_ctl},
    CapabilityRow{VmcsCapability::uinv, EntryControl::load_uinv, ExitControl::clear_uinv},
    CapabilityRow{VmcsCapability::load_cet, EntryControl::load_cet_state},
    CapabilityRow{VmcsCapability::load_lbr_ctl, EntryControl::load_guest_ia32_lbr_ctl,
                  ExitControl::clear_ia32_lbr_ctl},
    CapabilityRow{VmcsCapability::load_pkrs, EntryControl::load_pkrs},
    CapabilityRow{VmcsCapability::fred, EntryControl::load_ia32_fred},
    CapabilityRow{VmcsCapability::host_perf_global_ctrl, ExitControl::load_ia32_perf_global_ctrl},
    CapabilityRow{VmcsCapability::host_pat, ExitControl::load_ia32_pat},
    CapabilityRow{VmcsCapability::host_efer, ExitControl::load_ia32_efer},
    CapabilityRow{VmcsCapability::host_cet, ExitControl::load_cet_state},
    CapabilityRow{VmcsCapability::host_pkrs, ExitControl::load_pkrs},
    CapabilityRow{VmcsCapability::secondary_exit_controls,
                  ExitControl::activate_secondary_controls},
    CapabilityRow{VmcsCapability::host_fred, SecondaryExitControl::load_ia32_fred},
    CapabilityRow{VmcsCapability::shared_ept, {}},
};

static_assert([] {
    for (size_t i = 0; i < capability_rows.size(); ++i)
        if (static_cast<size_t>(capability_rows[i].capability) != i) return false;
    return capability_rows.size() == static_cast<size_t>(VmcsCapability::shared_ept) + 1;
}());

/// The fields that `capability` brings exist.
constexpr bool has_capability(const SupportedControls& has, VmcsCapability capability) {
    const CapabilityRow& row = capability_rows[static_cast<size_t>(capability)];
    return capability == VmcsCapability::base || has_control(has, row.control) ||
           has_control(has, row.or_control);
}

}  // namespace postern
