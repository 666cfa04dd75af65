// SPDX-License-Identifier: Apache-2.0
// A virtual processor that does not run: halted, or waiting for a start-up message, and what ends
// that. SDM 3A, "Multiple-Processor (MP) Initialization".
#include "arch/regs/rflags.h"
#include "hv/vcpu.h"

namespace postern::hv {

/// A message for this processor. It is told only if it would not look by itself before it runs
/// its guest again.
bool Vcpu::receive(const ApicMessage& message) {
    if (!has_apic() || !apic_.receive(message)) return false;
    call_out();
    return true;
}

void Vcpu::set_external(bool level) {
    if (!has_apic()) return;
    apic_.set_external(level);
    if (level) call_out();
}

void Vcpu::call_out() {
    if (running_ || apic_.state().activity != ActivityState::active) port_.kick(number_);
}

/// An interrupt that only RFLAGS.IF and blocking by STI or MOV SS can hold back.
bool Vcpu::interrupt_waits() const {
    return apic_.waiting() >= 0 || apic_.external_asks() || apic_.deliverable() >= 0;
}

bool Vcpu::init_waits() const { return apic_.state().init_pending != 0 && !nested_.holds_init(); }

bool Vcpu::wants_to_run() {
    if (stop_.reason != StopReason::none || running_) return true;
    const VirtualApic::State& state = apic_.state();
    switch (state.activity) {
        case ActivityState::wait_for_sipi: return state.start_up_pending != 0;
        case ActivityState::hlt: break;
        default: return true;
    }
    apic_.catch_up();
    const bool nmi = state.nmi_pending != 0 && !interruptibility().has(Interruptibility::nmi);
    if (nmi || init_waits()) return true;
    const auto flags = Rflags::from_raw(port_.vmread(VmcsField::guest_rflags));
    return flags.has(Rflag::if_) && interrupt_waits();
}

/// False: it is not to be run.
bool Vcpu::wake_up() {
    if (!wants_to_run()) return false;
    nested_.leave_for_events();
    if (init_waits()) {
        pending_ = {};
        apic_.take_init();
        reset_by_init();
    }
    if (apic_.state().activity == ActivityState::wait_for_sipi) {
        if (apic_.state().start_up_pending == 0) return false;
        start_up(apic_.take_start_up());
    }
    apic_.set_activity(ActivityState::active);
    return stop_.reason == StopReason::none;
}

/// After HLT. If something to do has come already there is no halt.
Next Vcpu::fall_asleep() {
    apic_.set_activity(ActivityState::hlt);
    if (wants_to_run()) return Next::resume;
    arm_timer();
    return Next::halt;
}

void Vcpu::arm_timer() {
    const u64 due = nested_.leaves_soon() ? port_.tsc() : apic_.due();
    if (due == armed_) return;
    armed_ = due;
    port_.set_timer(due);
}

}  // namespace postern::hv
