// SPDX-License-Identifier: Apache-2.0
// RESET, INIT and start-up of a virtual processor.
#include "hv/reset.h"

#include "arch/cpuid.h"
#include "hv/vcpu.h"

namespace postern::hv {
namespace {

/// What RESET makes 0 and INIT leaves, of what is the guest's own in its processor.
constexpr std::array processor_msrs{Msr::spec_ctrl, Msr::umwait_control, Msr::xss,
                                    Msr::star,      Msr::lstar,          Msr::cstar,
                                    Msr::fmask,     Msr::kernel_gs_base, Msr::tsc_aux};

}  // namespace

u32 Vcpu::signature() {
    return port_.cpuid(static_cast<u32>(CpuidLeaf::version_and_features), 0).eax;
}

void Vcpu::take_start_state(const StartState& start) { write_guest_state(state_of(start)); }

void Vcpu::take_init_state(u64 cr0_before) {
    write_guest_state(state_after_init(signature(), cr0_before));
}

void Vcpu::take_reset_state() { write_guest_state(state_after_reset(signature())); }

/// What no processor keeps over INIT: events, blocking, what an exit has left to do.
void Vcpu::forget_events() {
    pending_ = {};
    last_enclave_exit_ = {};
    current_ = ExitKind::normal;
    port_.vmwrite(VmcsField::vm_entry_interruption_information, 0);
    port_.vmwrite(VmcsField::guest_interruptibility_state, 0);
    port_.vmwrite(VmcsField::guest_activity_state, 0);
    port_.vmwrite(VmcsField::guest_pending_debug_exceptions, 0);
    entry_field_set_ = false;
}

/// SDM 3A, "Processor State After Reset". What it does then is the local APIC's to say.
void Vcpu::reset_by_init() {
    forget_events();
    take_init_state(seen_cr0());
    port_.invvpid(vpid());
}

void Vcpu::start_up(u8 vector) {
    write_segment(cs, start_up_code(vector));
    set_rip(RipCause::reset, 0);
}

/// What ended the guest, and what its last exit left to be watched, is over. The timer of one that
/// waits for a start-up message would never be set again.
void Vcpu::forget_run() {
    stop_ = {};
    retries_ = {};
    injected_on_entry_ = false;
    armed_ = VirtualApic::never;
    port_.set_timer(armed_);
}

/// SDM 3A, "Processor State After Reset".
bool Vcpu::reset() {
    forget_run();
    nested_.leave_vmx_operation();  // what follows is of VMCS01
    forget_events();
    apic_.take_init();
    static_cast<void>(apic_.take_start_up());
    if (!apic_.create(Hpa{apic_.state().page}, number_) || !agree_about_apic_mode()) {
        stop(StopReason::out_of_table_pages);
        return false;
    }
    for (const Msr msr : processor_msrs) static_cast<void>(port_.wrmsr(static_cast<u32>(msr), 0));
    port_.vmwrite(VmcsField::guest_ia32_sysenter_cs, 0);
    port_.vmwrite(VmcsField::guest_ia32_sysenter_esp, 0);
    port_.vmwrite(VmcsField::guest_ia32_sysenter_eip, 0);
    port_.vmwrite(VmcsField::guest_ia32_debugctl, 0);
    port_.vmwrite(VmcsField::guest_ia32_pat, pat_reset);
    static_cast<void>(port_.xsetbv(0, 1));
    port_.reset_extended_state();
    msrs_ = {};
    msrs_.tsc_base = u64{0} - port_.tsc();
    msrs_.misc_enable = MiscEnableWord{MiscEnable::fast_strings, MiscEnable::bts_unavailable,
                                       MiscEnable::pebs_unavailable}
                            .to_raw();
    write_tsc_offset();
    take_reset_state();
    port_.invvpid(vpid());
    return start_sgx();
}

/// Firmware has set the memory types by then, as before the first start.
bool Vcpu::restart(const StartState& state) {
    if (!reset()) return false;
    take_over_msrs();
    take_start_state(state);
    apic_.set_activity(ActivityState::active);
    return true;
}

bool Vcpu::restart_waiting() {
    if (!reset()) return false;
    take_over_msrs();
    apic_.set_activity(ActivityState::wait_for_sipi);
    return true;
}

}  // namespace postern::hv
