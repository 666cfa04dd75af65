// SPDX-License-Identifier: Apache-2.0
// The one setter of the guest's RIP, and the one skip.
#include "hv/rip.h"

#include "arch/regs/rflags.h"
#include "hv/vcpu.h"

namespace postern::hv {

bool Vcpu::set_rip(RipCause cause, u64 rip) {
    const bool checked = vm_.config().protections.has(Protection::skip_check);
    if (checked && !may_set_rip(cause, current_)) {
        report(Anomaly::rip_write_refused);
        return false;
    }
    port_.vmwrite(VmcsField::guest_rip, rip);
    return true;
}

void Vcpu::end_interrupt_shadow() {
    const InterruptibilityState state = interruptibility();
    const InterruptibilityState shadow{Interruptibility::sti, Interruptibility::mov_ss};
    if (state.has_any(shadow))
        port_.vmwrite(VmcsField::guest_interruptibility_state, state.without(shadow).to_raw());
}

/// SDM 3B, "Single-Step Exception Condition".
void Vcpu::trap_if_stepping(Rflags flags) {
    if (!flags.has(Rflag::tf)) return;
    const auto debugctl = DebugctlWord::from_raw(port_.vmread(VmcsField::guest_ia32_debugctl));
    if (debugctl.has(Debugctl::btf)) return;
    const u64 pending = port_.vmread(VmcsField::guest_pending_debug_exceptions);
    port_.vmwrite(VmcsField::guest_pending_debug_exceptions,
                  PendingDebugExceptions::from_raw(pending).with(PendingDebug::bs).to_raw());
}

/// A completed instruction ends blocking by STI and MOV SS and, with RFLAGS.TF, is followed by a
/// single-step trap.
bool Vcpu::skip(u32 length, RipCause cause) {
    end_interrupt_shadow();
    const bool enclave = current_ == ExitKind::enclave || current_ == ExitKind::delivery;
    if (length == 0) {
        if (enclave)
            ++counters_.zero_length_skips;
        else
            report(Anomaly::zero_length_instruction);
        return enclave;
    }
    if (enclave) ++counters_.skip_anomalies;
    const u64 before = port_.vmread(VmcsField::guest_rip);
    u64 rip = before + length;
    // Only where bits 63:32 change does it matter whether RIP has them.
    const bool carries = (before ^ rip) >> 32 != 0;
    if (carries && code_size() != CodeSize::bits64) rip = static_cast<u32>(rip);
    if (!set_rip(cause, rip)) return false;
    const auto flags = Rflags::from_raw(port_.vmread(VmcsField::guest_rflags));
    if (flags.has(Rflag::rf))
        port_.vmwrite(VmcsField::guest_rflags, flags.without({Rflag::rf}).to_raw());
    trap_if_stepping(flags);
    nested_.has_completed_instruction();
    return true;
}

/// What VM entry injects pushes RF as it was loaded. SDM 3B, "Instruction-Breakpoint Exception
/// Condition".
void Vcpu::set_resume_flag() {
    const auto flags = Rflags::from_raw(port_.vmread(VmcsField::guest_rflags));
    port_.vmwrite(VmcsField::guest_rflags, flags.with(Rflag::rf).to_raw());
}

}  // namespace postern::hv
