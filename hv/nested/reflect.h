// SPDX-License-Identifier: Apache-2.0
// What an L1 hypervisor is shown of its guest's exits from enclaves: pure functions.
#pragma once

#include "arch/vmx/exit_reason.h"
#include "arch/vmx/interruptibility.h"
#include "hv/protections.h"

namespace postern::hv {

/// An exit of the processor that is passed on: all of it, bit 27 included, not only its number.
constexpr ExitReason reflected_reason(ExitReason hardware, Protections protections) {
    return protections.has(Protection::pass_on) ? hardware : ExitReason{hardware.basic()};
}

/// L2's interruptibility state as L1 reads it: bit 4 included.
constexpr InterruptibilityState shown_interruptibility(InterruptibilityState of_l2,
                                                       Protections protections) {
    return protections.has(Protection::pass_on) ? of_l2
                                                : of_l2.with(Interruptibility::enclave, false);
}

/// An exit that no exit of the processor stands behind (an interrupt for L1, a window, a queued
/// exception): whether it is incident to enclave mode is said by the guest state that L1 will
/// see. That state is saved and restored; what the last exit was is not.
constexpr ExitReason synthesized_reason(BasicReason basic, InterruptibilityState shown) {
    const ExitReason reason{basic};
    return shown.has(Interruptibility::enclave) ? reason.in_enclave() : reason;
}

/// Instruction length and information of a synthesized exit: it has no instruction.
inline constexpr u32 synthesized_instruction_length = 0;

}  // namespace postern::hv
