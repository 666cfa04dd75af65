// SPDX-License-Identifier: Apache-2.0
// Which of the processor's modes is in force, and what addresses of code are in it. SDM 3A,
// "Modes of Operation".
#pragma once

#include "cpu/cpu.h"

namespace postern::cpu {

inline bool in_ia32e_mode(const Cpu& c) { return c.efer.has(Efer::lma); }
inline bool in_64_bit_mode(const Cpu& c) { return in_ia32e_mode(c) && c.segment[cs].is_long(); }
inline bool in_compatibility_mode(const Cpu& c) {
    return in_ia32e_mode(c) && !c.segment[cs].is_long();
}
inline bool in_protected_mode(const Cpu& c) { return c.cr0.has(Cr0::pe); }
inline bool in_real_mode(const Cpu& c) { return !in_protected_mode(c); }

/// Cpu::rip and gpr[row_block] are offsets in CS. In 64-bit mode that is the linear address;
/// elsewhere addresses of code are CS.base + EIP, of 32 bits.
inline u64 code_linear(const Cpu& c, u64 offset) {
    if (in_64_bit_mode(c)) [[likely]]
        return offset;
    return static_cast<u32>(c.segment[cs].base + offset);
}
inline u64 code_linear(const Cpu& c) { return code_linear(c, c.rip); }

/// Of the stack pointer outside 64-bit mode: ESP, or SP where SS.B is 0. SDM 3A, "Stack Fault".
inline u64 stack_mask(const Segment& stack) { return stack.db() ? 0xffff'ffff : 0xffff; }

/// RSP of the mode, of which a stack segment with B = 0 leaves all but the low 16 bits alone.
inline void set_stack_pointer(Cpu& c, u64 value) {
    if (in_64_bit_mode(c)) {
        c.gpr[rsp] = value;
    } else if (c.segment[ss].db()) {
        c.gpr[rsp] = static_cast<u32>(value);
    } else {
        c.gpr[rsp] = (c.gpr[rsp] & ~u64{0xffff}) | (value & 0xffff);
    }
}
inline u64 stack_pointer(const Cpu& c) {
    return in_64_bit_mode(c) ? c.gpr[rsp] : c.gpr[rsp] & stack_mask(c.segment[ss]);
}

}  // namespace postern::cpu
