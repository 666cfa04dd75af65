// SPDX-License-Identifier: Apache-2.0
// What an L1 hypervisor is shown of its guest's exits from enclaves, and what it may enter
// with: pure functions, for nesting to call when it comes.
#pragma once

#include "arch/vmx/exit_reason.h"
#include "arch/vmx/interruptibility.h"

namespace postern::hv {

/// An exit of the processor that is passed on: all of it, bit 27 included.
constexpr ExitReason reflected_reason(ExitReason hardware) { return hardware; }

/// An exit that no exit of the processor stands behind (an interrupt for L1, a window, a queued
/// exception): whether it is incident to enclave mode is said by the guest state that L1 will
/// see. That state is saved and restored; what the last exit was is not.
constexpr ExitReason synthesized_reason(BasicReason basic, InterruptibilityState of_l2) {
    const ExitReason reason{basic};
    return of_l2.has(Interruptibility::enclave) ? reason.in_enclave() : reason;
}

/// The interruptibility state L1 reads is the one its guest was left with.
constexpr InterruptibilityState reflected_interruptibility(InterruptibilityState of_l2) {
    return of_l2;
}

/// Instruction length and information of a synthesized exit: it has no instruction.
inline constexpr u32 synthesized_instruction_length = 0;

enum class EntryCheck : u8 {
    passed,
    reserved_bits,
    sti_beside_mov_ss,
    enclave_beside_mov_ss,
    enclave_without_sgx,
};

/// The entry checks of L1's interruptibility field that concern enclaves, against L1's own
/// CPUID: the processor would check against ours. SDM 3C, "Checks on Guest Non-Register State".
constexpr EntryCheck check_interruptibility(InterruptibilityState state, bool l1_has_sgx) {
    const bool mov_ss = state.has(Interruptibility::mov_ss);
    const bool enclave = state.has(Interruptibility::enclave);
    if ((state.to_raw() & interruptibility_reserved) != 0) return EntryCheck::reserved_bits;
    if (state.has(Interruptibility::sti) && mov_ss) return EntryCheck::sti_beside_mov_ss;
    if (enclave && mov_ss) return EntryCheck::enclave_beside_mov_ss;
    if (enclave && !l1_has_sgx) return EntryCheck::enclave_without_sgx;
    return EntryCheck::passed;
}

/// What a failed check gives L1. SDM 3C, "VM-Entry Failures During or After Loading Guest State".
inline constexpr ExitReason failed_entry_reason =
    ExitReason{BasicReason::entry_failure_guest_state}.with_entry_failure();

}  // namespace postern::hv
