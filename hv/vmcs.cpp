// SPDX-License-Identifier: Apache-2.0
// The VMCS a guest starts with: controls from the processor's capabilities, host state from the
// configuration, guest state of any mode.
#include <array>
#include <cstring>

#include "arch/vmx/capability.h"
#include "hv/vcpu.h"

namespace postern::hv {
namespace {

constexpr ExitControls exit_wanted{
    ExitControl::save_debug_controls, ExitControl::host_address_space_size,
    ExitControl::save_ia32_pat,       ExitControl::load_ia32_pat,
    ExitControl::save_ia32_efer,      ExitControl::load_ia32_efer};
/// With IA-32e mode as the guest's EFER.LMA says: write_guest_state.
constexpr EntryControls entry_wanted{EntryControl::load_debug_controls, EntryControl::load_ia32_pat,
                                     EntryControl::load_ia32_efer};

struct HostField {
    VmcsField field;
    u64 (*value)(const HostState&);
};
#define HOST(name) [](const HostState& h) -> u64 { return h.name; }
constexpr std::array host_fields{
    HostField{VmcsField::host_cr0, HOST(cr0)},
    HostField{VmcsField::host_cr3, HOST(cr3)},
    HostField{VmcsField::host_cr4, HOST(cr4)},
    HostField{VmcsField::host_rip, HOST(rip)},
    HostField{VmcsField::host_rsp, HOST(rsp)},
    HostField{VmcsField::host_ia32_efer, HOST(efer)},
    HostField{VmcsField::host_ia32_pat, HOST(pat)},
    HostField{VmcsField::host_cs_selector, HOST(cs)},
    HostField{VmcsField::host_ss_selector, HOST(ss)},
    HostField{VmcsField::host_ds_selector, HOST(ds)},
    HostField{VmcsField::host_es_selector, HOST(es)},
    HostField{VmcsField::host_fs_selector, HOST(fs)},
    HostField{VmcsField::host_gs_selector, HOST(gs)},
    HostField{VmcsField::host_tr_selector, HOST(tr)},
    HostField{VmcsField::host_fs_base, HOST(fs_base)},
    HostField{VmcsField::host_gs_base, HOST(gs_base)},
    HostField{VmcsField::host_tr_base, HOST(tr_base)},
    HostField{VmcsField::host_gdtr_base, HOST(gdtr_base)},
    HostField{VmcsField::host_idtr_base, HOST(idtr_base)},
    HostField{VmcsField::host_ia32_sysenter_cs, HOST(sysenter_cs)},
    HostField{VmcsField::host_ia32_sysenter_esp, HOST(sysenter_esp)},
    HostField{VmcsField::host_ia32_sysenter_eip, HOST(sysenter_eip)},
};
#undef HOST

/// A new VMCS holds nothing defined: these fields start as 0.
constexpr std::array zero_fields{VmcsField::tsc_offset,
                                 VmcsField::page_fault_error_code_mask,
                                 VmcsField::page_fault_error_code_match,
                                 VmcsField::cr3_target_count,
                                 VmcsField::vm_exit_msr_store_count,
                                 VmcsField::vm_exit_msr_load_count,
                                 VmcsField::vm_entry_msr_load_count,
                                 VmcsField::vm_entry_interruption_information,
                                 VmcsField::vm_entry_exception_error_code,
                                 VmcsField::vm_entry_instruction_length,
                                 VmcsField::guest_interruptibility_state,
                                 VmcsField::guest_activity_state,
                                 VmcsField::guest_pending_debug_exceptions,
                                 VmcsField::guest_ia32_debugctl,
                                 VmcsField::guest_ia32_sysenter_cs,
                                 VmcsField::guest_ia32_sysenter_esp,
                                 VmcsField::guest_ia32_sysenter_eip};

}  // namespace

bool Vcpu::start(const StartState& state) {
    if (!build()) return false;
    take_start_state(state);
    apic_.set_activity(ActivityState::active);
    return true;
}

bool Vcpu::start_waiting() {
    if (!build()) return false;
    take_init_state(cr0_reset);
    apic_.set_activity(ActivityState::wait_for_sipi);
    return true;
}

bool Vcpu::build() {
    if (stop_.reason != StopReason::none) return false;
    if (!vm_.create() || !load_vmcs() || !write_controls() || !start_apic() || !nested_.create()) {
        if (stop_.reason == StopReason::none) stop(StopReason::out_of_table_pages);
        vm_.watcher().stopped(stop_);
        return false;
    }
    write_host_state();
    for (const VmcsField field : zero_fields) port_.vmwrite(field, 0);
    port_.vmwrite(VmcsField::cr0_guest_host_mask, cr0_masked.to_raw());
    port_.vmwrite(VmcsField::cr4_guest_host_mask,
                  cr4_masked.to_raw() | port_.rdmsr(static_cast<u32>(Msr::vmx_cr4_fixed0)));
    port_.vmwrite(VmcsField::guest_ia32_pat, pat_reset);
    port_.vmwrite(VmcsField::vmcs_link_pointer, ~u64{0});
    take_over_msrs();
    return start_sgx();
}

/// SDM 3C, "Software Use of Virtual-Machine Control Structures".
bool Vcpu::load_vmcs() {
    const Result<Hpa> region = vm_.pages().take();
    if (!region.ok()) return false;
    const auto basic = VmxBasic::from_raw(port_.rdmsr(static_cast<u32>(Msr::vmx_basic)));
    const u32 revision = basic.revision();
    nested_.set_vmcs01(region.value());
    std::memcpy(port_.page(region.value()), &revision, sizeof revision);
    if (port_.vmclear(region.value()) && port_.vmptrld(region.value())) return true;
    stop(StopReason::vmfail, "VMCLEAR or VMPTRLD of a new VMCS");
    return false;
}

/// SDM 3D, appendix "VM-Execution Controls": the TRUE MSR decides where there is one.
bool Vcpu::write_control(VmcsField field, u32 wanted, Msr plain, Msr true_msr, const char* what) {
    const auto basic = VmxBasic::from_raw(port_.rdmsr(static_cast<u32>(Msr::vmx_basic)));
    const Msr msr = basic.has_true_controls() ? true_msr : plain;
    const auto capability = ControlCapability::from_raw(port_.rdmsr(static_cast<u32>(msr)));
    const u32 value = capability.completed(wanted);
    if (!capability.accepts(value)) {
        stop(StopReason::processor_lacks_control, what, static_cast<u32>(msr));
        return false;
    }
    port_.vmwrite(field, value);
    return true;
}

bool Vcpu::allowed(SecondaryControl control) {
    const u64 raw = port_.rdmsr(static_cast<u32>(Msr::vmx_procbased_ctls2));
    return ControlCapability::from_raw(raw).allows(control);
}

/// Never PAUSE, RDTSC or MOV-DR exiting of ours: an enclave may execute or meet these, and
/// nobody could carry them out for it.
PrimaryControls Vcpu::primary_wanted() const {
    const PrimaryControls ours{PrimaryControl::hlt_exiting,
                               PrimaryControl::unconditional_io_exiting,
                               PrimaryControl::use_tsc_offsetting, PrimaryControl::use_msr_bitmaps,
                               PrimaryControl::activate_secondary_controls};
    const bool no_monitor = vm_.config().hidden.has(HiddenFeature::monitor);
    const PrimaryControls waits{PrimaryControl::monitor_exiting, PrimaryControl::mwait_exiting};
    return ours | (no_monitor ? waits : PrimaryControls{}) | primary_for_apic() |
           PrimaryControls::from_raw(vm_.config().forced_primary_controls);
}

/// RDRAND and RDSEED exit exactly when the guest is not to have them.
SecondaryControls Vcpu::secondary_wanted() {
    const HiddenFeatures hidden = vm_.config().hidden;
    SecondaryControls wanted{SecondaryControl::enable_ept, SecondaryControl::enable_vpid,
                             SecondaryControl::unrestricted_guest};
    wanted.set(SecondaryControl::rdrand_exiting, hidden.has(HiddenFeature::rdrand));
    wanted.set(SecondaryControl::rdseed_exiting, hidden.has(HiddenFeature::rdseed));
    // A guest with SGX cannot be without: its ECREATE and EINIT are ours to judge.
    wanted.set(SecondaryControl::enable_encls_exiting,
               vm_.config().epc.size != 0 || allowed(SecondaryControl::enable_encls_exiting));
    const auto offer = [&](SecondaryControl control, HiddenFeature feature) {
        wanted.set(control, !hidden.has(feature) && allowed(control));
    };
    offer(SecondaryControl::enable_rdtscp, HiddenFeature::rdtscp);
    offer(SecondaryControl::enable_invpcid, HiddenFeature::invpcid);
    offer(SecondaryControl::enable_xsaves_xrstors, HiddenFeature::xsaves);
    offer(SecondaryControl::enable_user_wait_and_pause, HiddenFeature::waitpkg);
    return wanted | secondary_for_apic() |
           SecondaryControls::from_raw(vm_.config().forced_secondary_controls);
}

bool Vcpu::write_controls() {
    const bool timer = vm_.config().preemption_timer != 0;
    choose_apicv();
    PinControls pin{PinControl::external_interrupt_exiting, PinControl::nmi_exiting,
                    PinControl::virtual_nmis};
    pin.set(PinControl::activate_vmx_preemption_timer, timer);
    const ExitControls exit = exit_wanted.with(ExitControl::save_vmx_preemption_timer_value, timer);
    const u64 secondary_raw = port_.rdmsr(static_cast<u32>(Msr::vmx_procbased_ctls2));
    const auto secondary = ControlCapability::from_raw(secondary_raw);
    const u32 wanted = secondary.completed(secondary_wanted().to_raw());
    if (!write_control(VmcsField::pin_based_controls, pin.to_raw(), Msr::vmx_pinbased_ctls,
                       Msr::vmx_true_pinbased_ctls, "pin-based controls") ||
        !write_control(VmcsField::primary_processor_based_controls, primary_wanted().to_raw(),
                       Msr::vmx_procbased_ctls, Msr::vmx_true_procbased_ctls,
                       "primary processor-based controls") ||
        !write_control(VmcsField::vm_exit_controls, exit.to_raw(), Msr::vmx_exit_ctls,
                       Msr::vmx_true_exit_ctls, "VM-exit controls") ||
        !write_control(VmcsField::vm_entry_controls, entry_wanted.to_raw(), Msr::vmx_entry_ctls,
                       Msr::vmx_true_entry_ctls, "VM-entry controls"))
        return false;
    if (!secondary.accepts(wanted)) {
        stop(StopReason::processor_lacks_control, "secondary processor-based controls",
             static_cast<u32>(Msr::vmx_procbased_ctls2));
        return false;
    }
    port_.vmwrite(VmcsField::secondary_processor_based_controls, wanted);
    if (SecondaryControls::from_raw(wanted).has(SecondaryControl::enable_xsaves_xrstors))
        port_.vmwrite(VmcsField::xss_exiting_bitmap, 0);
    port_.vmwrite(VmcsField::virtual_processor_identifier, vpid());
    port_.vmwrite(VmcsField::ept_pointer, vm_.ept().pointer());
    port_.vmwrite(VmcsField::exception_bitmap, vm_.config().exception_bitmap);
    if (timer) port_.vmwrite(VmcsField::vmx_preemption_timer_value, vm_.config().preemption_timer);
    return write_msr_bitmap();
}

void Vcpu::write_host_state() {
    for (const HostField& row : host_fields) port_.vmwrite(row.field, row.value(vm_.config().host));
}

void Vcpu::write_segment(unsigned index, const Segment& segment) {
    const auto at = [index](VmcsField of_es) { return segment_field(of_es, index); };
    port_.vmwrite(at(VmcsField::guest_es_base), segment.base);
    port_.vmwrite(at(VmcsField::guest_es_limit), segment.limit);
    port_.vmwrite(at(VmcsField::guest_es_selector), segment.selector);
    port_.vmwrite(at(VmcsField::guest_es_access_rights), segment.access_rights);
}

void Vcpu::write_guest_state(const GuestState& state) {
    store_cr0(Cr0Word::from_raw(state.cr0));
    store_cr4(state.cr4);
    store_efer(EferWord::from_raw(state.efer));
    port_.vmwrite(VmcsField::guest_cr3, state.cr3);
    port_.vmwrite(VmcsField::guest_dr7, state.dr7);
    port_.write_dr(6, state.dr6);
    for (unsigned n = 0; n < breakpoint_count; ++n) port_.write_dr(n, 0);
    port_.vmwrite(VmcsField::guest_rflags, state.rflags);
    port_.vmwrite(VmcsField::guest_rsp, state.gpr[rsp]);
    for (unsigned index = 0; index < segment_count; ++index)
        write_segment(index, state.segment[index]);
    port_.vmwrite(VmcsField::guest_gdtr_base, state.gdtr_base);
    port_.vmwrite(VmcsField::guest_gdtr_limit, state.gdtr_limit);
    port_.vmwrite(VmcsField::guest_idtr_base, state.idtr_base);
    port_.vmwrite(VmcsField::guest_idtr_limit, state.idtr_limit);
    registers_.gpr = state.gpr;
    registers_.cr2 = state.cr2;
    set_rip(RipCause::reset, state.rip);
}

}  // namespace postern::hv
