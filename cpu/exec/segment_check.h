// SPDX-License-Identifier: Apache-2.0
// Segmentation outside 64-bit mode: what a segment allows, and the micro-operation that goes
// before an instruction with a memory operand there and leaves the checked 32-bit linear address
// in gpr[row_linear], for the handlers of 64-bit mode to use.
#pragma once

#include "cpu/cpu.h"
#include "cpu/decode/decoded.h"
#include "cpu/mmu/access.h"

namespace postern::cpu {

/// May `size` bytes at `offset` be accessed through the segment? Type and limit; real mode has no
/// types. SDM 3A, "Limit Checking", "Type Checking".
bool segment_allows(const Cpu& c, const Segment& s, u64 offset, u64 size, Access access);

/// The linear address of what segment register `index` allows; else #GP(0), through SS #SS(0).
Result<Gva> segment_address(Cpu& c, SegmentIndex index, u64 offset, u64 size, Access access);

/// Does `offset` lie in CS? SDM 2A, "JMP": #GP(0) "if the offset is beyond the code segment limit".
inline bool in_code_segment(const Segment& code, u64 offset) { return offset <= code.limit; }

/// The address of `i`'s memory operand, whose segment is checked only now: for instructions with a
/// VM exit that goes before faults of the operand (defers_check() of segment_check.cpp names them).
Result<Gva> checked_address(Cpu& c, const Insn& i, u64 size, Access access);

inline Result<u64> load_checked(Cpu& c, const Insn& i, unsigned size) {
    const Gva at = TRY(checked_address(c, i, size, Access::read));
    return load(c, at, size);
}
inline Result<> store_checked(Cpu& c, const Insn& i, unsigned size, u64 value) {
    const Gva at = TRY(checked_address(c, i, size, Access::write));
    return store(c, at, size, value);
}

/// The segment register that a memory operand names.
SegmentIndex segment_of_operand(ZydisRegister segment);

/// Fills `check` with the micro-operation for operand `n` of `d`, and points `i` at its result.
/// False: the operand needs none (no address is formed).
bool split_memory_operand(const Decoded& d, unsigned n, Insn& check, Insn& i);

/// The same for operand `n` that is implicit, at `base` (DI of MASKMOVDQU): no size is checked.
bool split_implicit_operand(const Decoded& d, unsigned n, u8 base, Insn& check, Insn& i);

}  // namespace postern::cpu
