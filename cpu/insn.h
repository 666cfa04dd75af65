// SPDX-License-Identifier: Apache-2.0
// One decoded instruction, and how one handler passes control to the next. Handlers are
// threaded by tail calls; a loop build (sanitizers, -O0) runs the same handlers one by one.
#pragma once

#include "base/types.h"

namespace postern::cpu {

struct Cpu;
struct Insn;

/// What a chain of handlers came back with.
enum class Step : u32 {
    next,    // loop builds only: go on with the following Insn
    lookup,  // Cpu::rip is the next instruction; find its block and go on
    stop,    // Cpu::rip is the next instruction; look for events, then go on
    fault,   // Cpu::pending says what; Cpu::rip is the instruction that did not retire
};

using Handler = Step (*)(Cpu&, const Insn*);

/// Rows of Cpu::gpr that are not general registers.
inline constexpr u8 row_zero = 16;   // always zero: an absent base, index or segment
inline constexpr u8 row_block = 17;  // linear address of the block being run
inline constexpr u8 row_fs_base = 18;
inline constexpr u8 row_gs_base = 19;
inline constexpr u8 row_linear = 20;  // outside 64-bit mode: the memory operand, checked and linear
inline constexpr unsigned gpr_rows = 24;

/// 32 bytes, read-only after decode. The memory operand is
/// gpr[base] + (gpr[index] << scale) + gpr[segment] + disp; RIP-relative: base = row_block.
struct Insn {
    Handler run;
    union {
        i64 imm;          // immediate, sign-extended
        const void* aux;  // what the handler needs instead: links, a vector thunk, the slow form
    };
    i32 disp;
    u8 dst, src;  // rows of Cpu::gpr; for 8-bit operands byte offsets into it
    u8 base, index;
    u8 scale;       // 0 to 3
    u8 segment;     // row_zero, row_fs_base or row_gs_base
    u8 form;        // the handler's own: operand size, condition, flags of InsnForm
    u8 length;      // bytes
    u16 offset;     // bytes from the block's first instruction
    u16 remaining;  // instructions from this one to the block's last, itself included
};
static_assert(sizeof(Insn) == 32);

/// Bits of Insn::form that every handler of a system instruction may read.
enum InsnForm : u8 {
    form_size_mask = 0x0f,  // operand size in bytes: 1, 2, 4, 8
    form_rep = 0x10,
    form_repne = 0x20,
    form_address32 = 0x40,
    form_memory = 0x80,  // the r/m operand is memory
};

}  // namespace postern::cpu

#ifndef POSTERN_LOOP
#define POSTERN_LOOP 0
#endif

#if POSTERN_LOOP
#define TAIL return
#define NEXT(c, i) return ((void)(c), (void)(i), ::postern::cpu::Step::next)
#elif defined(__clang__)
#define TAIL [[clang::musttail]] return
#define NEXT(c, i) TAIL(i)[1].run((c), (i) + 1)
#else
#define TAIL return
#define NEXT(c, i) return (i)[1].run((c), (i) + 1)
#endif
