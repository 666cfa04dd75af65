// SPDX-License-Identifier: Apache-2.0
// Who has the guest's x87 and MMX registers. The first instruction in a run that needs them brings
// them into the host's unit, where they stay until the run loop is left or software replaces them.
// Of the last instruction's address and operand nothing is ever taken over: those in the unit
// would be the host's.
#pragma once

#include "base/result.h"
#include "cpu/cpu.h"
#include "cpu/insn.h"

namespace postern::cpu {

/// The guest's x87 state, wherever it is; the setter replaces all of it. `state` has no bits that
/// do not exist, and its summary bit says whether an unmasked exception is pending.
X87State guest_x87(const Cpu& c);
void set_guest_x87(Cpu& c, const X87State& state);

/// Into VectorState::x87, and out of the unit, which is the host's again.
void take_back_x87(Cpu& c);

/// What every waiting instruction does first: an unmasked exception that an earlier one left is
/// #MF now; else the state is in the unit. SDM 1, "x87 FPU Exception Synchronization".
Result<> prepare_x87(Cpu& c);
/// The first half of that.
Result<> check_x87_exception(Cpu& c);

/// The status word with TOP, and the control word, which is always up to date in VectorState.
u16 guest_fsw(const Cpu& c);
void set_guest_fcw(Cpu& c, u16 fcw);

/// In the unit: TOP = 0 and every register in use, as after any MMX instruction but EMMS. SDM 1,
/// "Effect of MMX Instructions on the x87 FPU State".
void use_as_mmx();

/// Where guarded thunks of registers lead if the state is not in the unit or an exception may be
/// pending: whatever is to be done first, then the thunk from Insn::aux on.
Step unit_not_ready(Cpu& c, const Insn* i);

// Bits of the control and status words. SDM 1, "x87 FPU Control Word", "x87 FPU Status Register".
inline constexpr u16 fcw_mask = 0x1f3f;  // those that exist
inline constexpr u16 fcw_fixed_one = 0x0040;
inline constexpr u16 x87_exceptions = 0x003f;  // masks and flags
inline constexpr u16 x87_ie = 0x01, x87_de = 0x02, x87_ze = 0x04, x87_oe = 0x08, x87_ue = 0x10,
                     x87_pe = 0x20, x87_sf = 0x40;
inline constexpr u16 fsw_es = 0x0080;
inline constexpr u16 fsw_summary = 0x8080;  // ES, and B, which follows it
inline constexpr u16 fsw_c0 = 0x0100, fsw_c1 = 0x0200, fsw_c2 = 0x0400, fsw_c3 = 0x4000;
constexpr unsigned top_of(u16 fsw) { return fsw >> 11 & 7u; }

constexpr u16 usable_fcw(u16 image) { return static_cast<u16>((image & fcw_mask) | fcw_fixed_one); }
/// ES and B say whether an unmasked exception is pending, whatever the image said.
constexpr u16 usable_fsw(u16 image, u16 fcw) {
    const bool pending = (image & ~fcw & x87_exceptions) != 0;
    return static_cast<u16>((image & ~fsw_summary) | (pending ? fsw_summary : 0));
}

}  // namespace postern::cpu
