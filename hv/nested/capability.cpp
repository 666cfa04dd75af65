// SPDX-License-Identifier: Apache-2.0
#include "hv/nested/capability.h"

#include "arch/cpuid.h"
#include "arch/vmx/entry_checks/not_offered.h"
#include "arch/vmx/interruptibility.h"
#include "base/table.h"
#include "hv/control_registers.h"
#include "hv/port.h"

namespace postern::hv {
namespace {

using Word = ControlBit::Word;

struct NestedControl {
    ControlBit control;
    bool carried_out;  // by hv/nested, where the processor has it
    HiddenFeatures unless{};
};
constexpr bool yes = true;
constexpr bool no = false;

/// Also MONITOR and MWAIT exiting of a guest without these instructions: the control is there on
/// every processor, and Linux's KVM does not start without it.
constexpr std::array nested_controls{
    NestedControl{PinControl::external_interrupt_exiting, yes},
    NestedControl{PinControl::nmi_exiting, yes},
    NestedControl{PinControl::virtual_nmis, yes},
    NestedControl{PinControl::activate_vmx_preemption_timer, yes},
    NestedControl{PinControl::process_posted_interrupts, no},

    NestedControl{PrimaryControl::interrupt_window_exiting, yes},
    NestedControl{PrimaryControl::use_tsc_offsetting, yes},
    NestedControl{PrimaryControl::hlt_exiting, yes},
    NestedControl{PrimaryControl::invlpg_exiting, yes},
    NestedControl{PrimaryControl::mwait_exiting, yes},
    NestedControl{PrimaryControl::rdpmc_exiting, yes},
    NestedControl{PrimaryControl::rdtsc_exiting, yes},
    NestedControl{PrimaryControl::cr3_load_exiting, yes},
    NestedControl{PrimaryControl::cr3_store_exiting, yes},
    NestedControl{PrimaryControl::activate_tertiary_controls, no},
    NestedControl{PrimaryControl::cr8_load_exiting, yes},
    NestedControl{PrimaryControl::cr8_store_exiting, yes},
    NestedControl{PrimaryControl::use_tpr_shadow, yes},
    NestedControl{PrimaryControl::nmi_window_exiting, yes},
    NestedControl{PrimaryControl::mov_dr_exiting, yes},
    NestedControl{PrimaryControl::unconditional_io_exiting, yes},
    NestedControl{PrimaryControl::use_io_bitmaps, yes},
    NestedControl{PrimaryControl::monitor_trap_flag, yes},
    NestedControl{PrimaryControl::use_msr_bitmaps, yes},
    NestedControl{PrimaryControl::monitor_exiting, yes},
    NestedControl{PrimaryControl::pause_exiting, yes},
    NestedControl{PrimaryControl::activate_secondary_controls, yes},

    NestedControl{SecondaryControl::virtualize_apic_accesses, yes},
    NestedControl{SecondaryControl::enable_ept, yes},
    NestedControl{SecondaryControl::descriptor_table_exiting, yes},
    NestedControl{SecondaryControl::enable_rdtscp, yes, {HiddenFeature::rdtscp}},
    NestedControl{SecondaryControl::virtualize_x2apic_mode, yes},
    NestedControl{SecondaryControl::enable_vpid, yes},
    NestedControl{SecondaryControl::wbinvd_exiting, yes},
    NestedControl{SecondaryControl::unrestricted_guest, yes},
    NestedControl{SecondaryControl::apic_register_virtualization, no},
    NestedControl{SecondaryControl::virtual_interrupt_delivery, no},
    NestedControl{SecondaryControl::pause_loop_exiting, yes},
    NestedControl{SecondaryControl::rdrand_exiting, yes, {HiddenFeature::rdrand}},
    NestedControl{SecondaryControl::enable_invpcid, yes, {HiddenFeature::invpcid}},
    NestedControl{SecondaryControl::enable_vm_functions, no},
    NestedControl{SecondaryControl::vmcs_shadowing, no},
    NestedControl{SecondaryControl::enable_encls_exiting, yes},
    NestedControl{SecondaryControl::rdseed_exiting, yes, {HiddenFeature::rdseed}},
    NestedControl{SecondaryControl::enable_pml, no},
    NestedControl{SecondaryControl::ept_violation_ve, no},
    NestedControl{SecondaryControl::conceal_vmx_from_pt, no},
    NestedControl{SecondaryControl::enable_xsaves_xrstors, yes, {HiddenFeature::xsaves}},
    NestedControl{SecondaryControl::enable_pasid_translation, no},
    NestedControl{SecondaryControl::mode_based_execute_control, no},
    NestedControl{SecondaryControl::sub_page_write_permissions, no},
    NestedControl{SecondaryControl::pt_uses_guest_physical_addresses, no},
    NestedControl{SecondaryControl::use_tsc_scaling, yes},
    NestedControl{SecondaryControl::enable_user_wait_and_pause, yes, {HiddenFeature::waitpkg}},
    NestedControl{SecondaryControl::enable_pconfig, no},
    NestedControl{SecondaryControl::enable_enclv_exiting, no},
    NestedControl{SecondaryControl::enable_epc_virtualization_extensions, no},
    NestedControl{SecondaryControl::vmm_bus_lock_detection, no},
    NestedControl{SecondaryControl::instruction_timeout, no},

    NestedControl{ExitControl::save_debug_controls, yes},
    NestedControl{ExitControl::host_address_space_size, yes},
    NestedControl{ExitControl::load_ia32_perf_global_ctrl, no},
    NestedControl{ExitControl::acknowledge_interrupt_on_exit, yes},
    NestedControl{ExitControl::save_ia32_pat, yes},
    NestedControl{ExitControl::load_ia32_pat, yes},
    NestedControl{ExitControl::save_ia32_efer, yes},
    NestedControl{ExitControl::load_ia32_efer, yes},
    NestedControl{ExitControl::save_vmx_preemption_timer_value, yes},
    NestedControl{ExitControl::clear_ia32_bndcfgs, no},
    NestedControl{ExitControl::conceal_vmx_from_pt, no},
    NestedControl{ExitControl::clear_ia32_rtit_ctl, no},
    NestedControl{ExitControl::clear_ia32_lbr_ctl, no},
    NestedControl{ExitControl::clear_uinv, no},
    NestedControl{ExitControl::load_cet_state, no},
    NestedControl{ExitControl::load_pkrs, no},
    NestedControl{ExitControl::save_ia32_perf_global_ctrl, no},
    NestedControl{ExitControl::activate_secondary_controls, no},

    NestedControl{EntryControl::load_debug_controls, yes},
    NestedControl{EntryControl::ia32e_mode_guest, yes},
    NestedControl{EntryControl::entry_to_smm, no},
    NestedControl{EntryControl::deactivate_dual_monitor_treatment, no},
    NestedControl{EntryControl::load_ia32_perf_global_ctrl, no},
    NestedControl{EntryControl::load_ia32_pat, yes},
    NestedControl{EntryControl::load_ia32_efer, yes},
    NestedControl{EntryControl::load_ia32_bndcfgs, no},
    NestedControl{EntryControl::conceal_vmx_from_pt, no},
    NestedControl{EntryControl::load_ia32_rtit_ctl, no},
    NestedControl{EntryControl::load_uinv, no},
    NestedControl{EntryControl::load_cet_state, no},
    NestedControl{EntryControl::load_guest_ia32_lbr_ctl, no},
    NestedControl{EntryControl::load_pkrs, no},
    NestedControl{EntryControl::load_ia32_fred, no},
};
static_assert(is_strictly_sorted(nested_controls, [](const NestedControl& row) {
    return static_cast<unsigned>(row.control.word) * 64 + row.control.bit;
}));

constexpr u32 carried_out(Word word, HiddenFeatures hidden) {
    u32 mask = 0;
    for (const NestedControl& row : nested_controls)
        if (row.control.word == word && row.carried_out && !hidden.has_any(row.unless))
            mask |= u32{1} << row.control.bit;
    return mask;
}

/// Whatever the processor has, L1 sees no more than this.
constexpr SupportedControls most_offered{
    .pin = PinControls::from_raw(carried_out(Word::pin, {})),
    .primary = PrimaryControls::from_raw(carried_out(Word::primary, {})),
    .secondary = SecondaryControls::from_raw(carried_out(Word::secondary, {})),
    .tertiary = {},
    .exit = ExitControls::from_raw(carried_out(Word::exit, {})),
    .secondary_exit = {},
    .entry = EntryControls::from_raw(carried_out(Word::entry, {})),
};
static_assert(vm_entry::are_all_checked(most_offered), "VM entry of L1 checks what it is offered");

/// What must be 1 for the processor must be 1 for the guest: it is what the guest runs with.
ControlCapability restricted(ControlCapability processor, u32 offered) {
    return {processor.must_be_1(), processor.may_be_1() & (offered | processor.must_be_1())};
}

u64 rdmsr(Port& port, Msr msr) { return port.rdmsr(static_cast<u32>(msr)); }
ControlCapability read_controls(Port& port, Msr msr) {
    return ControlCapability::from_raw(rdmsr(port, msr));
}

/// Of this list only execute-only entries need the processor: the others are walked by us, or
/// forgotten.
constexpr EptVpidCapabilities nested_ept_vpid{
    EptVpidCapability::execute_only,
    EptVpidCapability::page_walk_4,
    EptVpidCapability::memory_type_uc,
    EptVpidCapability::memory_type_wb,
    EptVpidCapability::pages_2m,
    EptVpidCapability::pages_1g,
    EptVpidCapability::invept,
    EptVpidCapability::accessed_and_dirty,
    EptVpidCapability::invept_single_context,
    EptVpidCapability::invept_all_contexts,
    EptVpidCapability::invvpid,
    EptVpidCapability::invvpid_individual_address,
    EptVpidCapability::invvpid_single_context,
    EptVpidCapability::invvpid_all_contexts,
    EptVpidCapability::invvpid_single_context_retaining_globals,
};

/// Another revision than the processor's own: its regions are not ours to read.
u32 revision_beside(u32 processor) {
    return processor == vmcs12_revision ? vmcs12_revision + 1 : vmcs12_revision;
}

VmxBasic offered_basic(VmxBasic processor) {
    return VmxBasic::of(revision_beside(processor.revision()), page_size)
        .with_ins_outs(processor.reports_ins_outs())
        .with_true_controls();
}

/// L2 may begin in HLT or waiting for a SIPI. Nothing of ours could reach one that is shut down.
VmxMisc offered_misc(VmxMisc processor) {
    unsigned activities = 0;
    for (const auto state : {ActivityState::hlt, ActivityState::wait_for_sipi}) {
        const auto number = static_cast<unsigned>(state);
        if (processor.supports_activity(number)) activities |= 1u << (number - 1);
    }
    return VmxMisc{}
        .with_timer_shift(processor.timer_shift())
        .with_lma_stored(processor.stores_lma())
        .with_activities(activities)
        .with_cr3_target_count(processor.cr3_target_count())
        .with_zero_length_injection(processor.zero_length_injection());
}

/// What L2 is run with.
bool can_nest(Port& port, ControlCapability primary) {
    constexpr auto features = static_cast<u32>(CpuidLeaf::version_and_features);
    constexpr auto vmx = static_cast<unsigned>(Cpuid1Ecx::vmx);
    if ((port.cpuid(features, 0).ecx >> vmx & 1) == 0) return false;
    if (!primary.allows(PrimaryControl::activate_secondary_controls) ||
        !primary.allows(PrimaryControl::use_msr_bitmaps))
        return false;
    const ControlCapability secondary = read_controls(port, Msr::vmx_procbased_ctls2);
    return secondary.allows(SecondaryControl::enable_ept) &&
           secondary.allows(SecondaryControl::enable_vpid) &&
           secondary.allows(SecondaryControl::unrestricted_guest) &&
           EptVpidCapabilities::from_raw(rdmsr(port, Msr::vmx_ept_vpid_cap))
               .has_all({EptVpidCapability::page_walk_4, EptVpidCapability::memory_type_wb});
}

}  // namespace

NestedCapabilities::NestedCapabilities(Port& port, bool offer, HiddenFeatures hidden) {
    if (!offer) return;
    const auto processor = VmxBasic::from_raw(rdmsr(port, Msr::vmx_basic));
    const auto true_of = [&](Msr plain, Msr true_msr) {
        return read_controls(port, processor.has_true_controls() ? true_msr : plain);
    };
    if (!can_nest(port, true_of(Msr::vmx_procbased_ctls, Msr::vmx_true_procbased_ctls))) return;
    present_ = true;
    const auto take = [&](ControlCapability Controls::* word, u32 offered, Msr plain,
                          Msr true_msr) {
        plain_.*word = restricted(read_controls(port, plain), offered);
        true_.*word = restricted(true_of(plain, true_msr), offered);
    };
    take(&Controls::pin, carried_out(Word::pin, hidden), Msr::vmx_pinbased_ctls,
         Msr::vmx_true_pinbased_ctls);
    take(&Controls::primary, carried_out(Word::primary, hidden), Msr::vmx_procbased_ctls,
         Msr::vmx_true_procbased_ctls);
    take(&Controls::secondary, carried_out(Word::secondary, hidden), Msr::vmx_procbased_ctls2,
         Msr::vmx_procbased_ctls2);
    take(&Controls::exit, carried_out(Word::exit, hidden), Msr::vmx_exit_ctls,
         Msr::vmx_true_exit_ctls);
    take(&Controls::entry, carried_out(Word::entry, hidden), Msr::vmx_entry_ctls,
         Msr::vmx_true_entry_ctls);
    supported_ = {.pin = PinControls::from_raw(true_.pin.may_be_1()),
                  .primary = PrimaryControls::from_raw(true_.primary.may_be_1()),
                  .secondary = SecondaryControls::from_raw(true_.secondary.may_be_1()),
                  .tertiary = {},
                  .exit = ExitControls::from_raw(true_.exit.may_be_1()),
                  .secondary_exit = {},
                  .entry = EntryControls::from_raw(true_.entry.may_be_1())};
    basic_ = offered_basic(processor);
    misc_ = offered_misc(VmxMisc::from_raw(rdmsr(port, Msr::vmx_misc)));
    const auto ept = EptVpidCapabilities::from_raw(rdmsr(port, Msr::vmx_ept_vpid_cap));
    ept_vpid_ = nested_ept_vpid.with(EptVpidCapability::execute_only,
                                     ept.has(EptVpidCapability::execute_only));
    cr0_fixed0_ = rdmsr(port, Msr::vmx_cr0_fixed0);
    cr0_fixed1_ = rdmsr(port, Msr::vmx_cr0_fixed1);
    cr4_fixed0_ = rdmsr(port, Msr::vmx_cr4_fixed0);
    const u64 cr4 = rdmsr(port, Msr::vmx_cr4_fixed1);
    cr4_fixed1_ = (cr4 & ~cr4_masked.to_raw()) | Cr4Word{Cr4::vmxe}.to_raw();
}

/// SDM 3D, appendix "VMCS Enumeration": the highest index of a field that exists, in bits 9:1.
u64 NestedCapabilities::enumeration() const {
    u64 highest = 0;
    for (const VmcsFieldRow& row : vmcs_field_rows) {
        const u64 index = static_cast<u32>(row.field) & 0x3fe;
        if (field_exists(row.field) && index > highest) highest = index;
    }
    return highest;
}

/// IA32_VMX_VMFUNC, PROCBASED_CTLS3 and EXIT_CTLS2 exist only with controls that are not offered.
bool NestedCapabilities::read(u32 msr, u64& value) const {
    if (!present_) return false;
    switch (static_cast<Msr>(msr)) {
        case Msr::vmx_basic: value = basic_.to_raw(); break;
        case Msr::vmx_pinbased_ctls: value = plain_.pin.to_raw(); break;
        case Msr::vmx_procbased_ctls: value = plain_.primary.to_raw(); break;
        case Msr::vmx_exit_ctls: value = plain_.exit.to_raw(); break;
        case Msr::vmx_entry_ctls: value = plain_.entry.to_raw(); break;
        case Msr::vmx_misc: value = misc_.to_raw(); break;
        case Msr::vmx_cr0_fixed0: value = cr0_fixed0_; break;
        case Msr::vmx_cr0_fixed1: value = cr0_fixed1_; break;
        case Msr::vmx_cr4_fixed0: value = cr4_fixed0_; break;
        case Msr::vmx_cr4_fixed1: value = cr4_fixed1_; break;
        case Msr::vmx_vmcs_enum: value = enumeration(); break;
        case Msr::vmx_procbased_ctls2: value = plain_.secondary.to_raw(); break;
        case Msr::vmx_ept_vpid_cap: value = ept_vpid_.to_raw(); break;
        case Msr::vmx_true_pinbased_ctls: value = true_.pin.to_raw(); break;
        case Msr::vmx_true_procbased_ctls: value = true_.primary.to_raw(); break;
        case Msr::vmx_true_exit_ctls: value = true_.exit.to_raw(); break;
        case Msr::vmx_true_entry_ctls: value = true_.entry.to_raw(); break;
        default: return false;
    }
    return true;
}

}  // namespace postern::hv
