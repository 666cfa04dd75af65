// SPDX-License-Identifier: Apache-2.0
// The guest's MXCSR and the host's. Inside the run loop the guest's is loaded in the host's unit,
// so that its sticky flags gather there; outside, VectorState::mxcsr holds it. The x87 state,
// which comes later but leaves together with it, is cpu/x87/unit.h's.
#pragma once

#include "cpu/cpu.h"

namespace postern::cpu {

/// Entering the run loop: the guest's MXCSR into the unit, the host's put aside.
void enter_host_unit(Cpu& c);
/// Leaving it: the reverse, for the x87 state as well. Not nested.
void leave_host_unit(Cpu& c);

/// The guest's MXCSR, wherever it is; the setter reaches both places. `value` has no reserved bit.
u32 guest_mxcsr(const Cpu& c);
void set_guest_mxcsr(Cpu& c, u32 value);

/// VectorState brought up to date, and the unit after a change of it: x87 state that was brought
/// up to date before. Nothing outside the run loop.
void sync_from_host(Cpu& c);
void sync_to_host(Cpu& c);

/// Bits that MXCSR does not have: setting one is #GP(0). SDM 1, "MXCSR Control and Status
/// Register".
inline constexpr u32 mxcsr_mask = 0xffff;
inline constexpr u32 mxcsr_reserved = ~mxcsr_mask;

}  // namespace postern::cpu
