// SPDX-License-Identifier: Apache-2.0
// The virtual local APIC's timer: a crystal of 25 MHz against a TSC of 1 GHz. SDM 3A, "APIC Timer".
#include "hv/apic/virtual_apic.h"
#include "hv/port.h"

namespace postern::hv {

namespace {

using namespace apic;

}  // namespace

u64 VirtualApic::due() const {
    if (state_.tsc_deadline == 0) return state_.timer_due;
    const u64 offset = state_.tsc_offset;
    const u64 due = state_.tsc_deadline - offset;
    // A deadline that the guest's TSC had passed before the processor's began to count.
    return state_.tsc_deadline < offset && offset >> 63 == 0 ? 0 : due;
}

/// What the timer did up to `now`.
void VirtualApic::fire_timer(u64 now) {
    if (due() > now) return;
    if ((state_.lvt_timer & lvt_masked) == 0) request(static_cast<u8>(state_.lvt_timer), false);
    state_.tsc_deadline = 0;
    if (timer_mode() != TimerMode::periodic || state_.initial_count == 0) {
        state_.timer_due = never;
        return;
    }
    const u64 period = state_.initial_count * tick_length();
    state_.timer_due += ((now - state_.timer_due) / period + 1) * period;
}

u32 VirtualApic::current_count() const {
    const u64 now = port_.tsc();
    if (state_.timer_due == never || state_.timer_due <= now) return 0;
    const u64 length = tick_length();
    return static_cast<u32>((state_.timer_due - now + length - 1) / length);
}

/// In TSC-deadline mode the register ignores writes.
void VirtualApic::start_timer(u32 count) {
    if (timer_mode() != TimerMode::tsc_deadline) {
        state_.initial_count = count;
        state_.timer_due = count == 0 ? never : port_.tsc() + count * tick_length();
    }
    put(reg_initial_count, state_.initial_count);
}

void VirtualApic::write_lvt_timer(u32 value) {
    const TimerMode before = timer_mode();
    state_.lvt_timer = (value & lvt_writable(reg_lvt_timer)) | (enabled() ? 0 : lvt_masked);
    put(reg_lvt_timer, state_.lvt_timer);
    if (!disarms_timer(before, timer_mode())) return;
    state_.timer_due = never;
    state_.tsc_deadline = 0;
    state_.initial_count = 0;
    put(reg_initial_count, 0);
}

/// In the other modes the MSR ignores writes.
void VirtualApic::arm_deadline(u64 deadline) {
    if (timer_mode() == TimerMode::tsc_deadline) state_.tsc_deadline = deadline;
}

}  // namespace postern::hv
