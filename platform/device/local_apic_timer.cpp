// SPDX-License-Identifier: Apache-2.0
// The local APIC's timer. SDM 3A, "APIC Timer".
#include "arch/apic.h"
#include "platform/device/local_apic.h"

namespace postern::platform {

namespace {

using namespace apic;

}  // namespace

TimerMode LocalApic::timer_mode() const { return timer_mode_of(state_.lvt_timer); }
u64 LocalApic::tick_length() const { return timer_tick_length(state_.divide); }

/// What the timer did up to `now`.
void LocalApic::catch_up(u64 now) {
    if (state_.timer_due > now) return;
    const bool periodic = timer_mode() == TimerMode::periodic;
    if ((state_.lvt_timer & lvt_masked) == 0) request(static_cast<u8>(state_.lvt_timer));
    state_.tsc_deadline = 0;
    if (!periodic || state_.initial_count == 0) {
        state_.timer_due = never;
        return;
    }
    const u64 period = state_.initial_count * tick_length();
    state_.timer_due += ((now - state_.timer_due) / period + 1) * period;
}

u32 LocalApic::current_count(u64 now) const {
    if (timer_mode() == TimerMode::tsc_deadline || state_.timer_due <= now) return 0;
    if (state_.timer_due == never) return 0;
    const u64 length = tick_length();
    return static_cast<u32>((state_.timer_due - now + length - 1) / length);
}

void LocalApic::start_timer(u32 count, u64 now) {
    if (timer_mode() == TimerMode::tsc_deadline) return;
    state_.initial_count = count;
    state_.timer_due = count == 0 ? never : now + count * tick_length();
}

void LocalApic::write_lvt_timer(u32 value) {
    const TimerMode before = timer_mode();
    state_.lvt_timer = (value & lvt_writable(reg_lvt_timer)) | (enabled() ? 0 : lvt_masked);
    if (!disarms_timer(before, timer_mode())) return;
    state_.timer_due = never;
    state_.tsc_deadline = 0;
    state_.initial_count = 0;
}

/// SDM 3A, "TSC-Deadline Mode". In the other modes the MSR ignores writes.
void LocalApic::arm_deadline(u64 deadline, u64 now) {
    if (timer_mode() != TimerMode::tsc_deadline) return;
    state_.tsc_deadline = deadline;
    const u64 adjust = processor_->msr.tsc_adjust;
    const bool past = deadline <= now + adjust;
    state_.timer_due = past ? now : deadline - adjust;
    if (deadline == 0) state_.timer_due = never;
}

}  // namespace postern::platform
