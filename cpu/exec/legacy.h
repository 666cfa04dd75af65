// SPDX-License-Identifier: Apache-2.0
// Instructions whose form outside 64-bit mode is not that of 64-bit mode: stack, branches, strings,
// and what exists there only. They go by the size of operand, address and stack that is in force;
// none of them is hot.
#pragma once

#include "base/result.h"
#include "cpu/cpu.h"
#include "cpu/decode/decoded.h"

namespace postern::cpu {

using LegacyBuild = Handler (*)(const Decoded& d, Insn& i);

/// Does the instruction end its block?
enum class LegacyEnd : u8 { no, yes, if_repeated, if_segment_register };

struct LegacyRow {
    ZydisMnemonic mnemonic;
    LegacyBuild build;
    LegacyEnd end;
    bool operand;  // a memory operand is checked and made linear before the instruction
};

inline bool is_legacy(const Decoded& d) { return (d.mode & mode_legacy) != 0; }

/// Null: outside 64-bit mode the instruction is what it is there.
const LegacyRow* find_legacy_row(const Decoded& d);
Handler build_legacy(const Decoded& d, Insn& i);
bool ends_legacy_block(const Decoded& d, const Insn& i);

/// MASKMOVQ and MASKMOVDQU store where DI says.
bool is_masked_move(const Decoded& d);

// What the builders have in common. Insn::form has the operand's size, and form_memory.

inline void set_operand_size(const Decoded& d, Insn& i) {
    i.form = static_cast<u8>((i.form & ~form_size_mask) | (d.instruction.operand_width / 8u));
}
/// For operands that registers name: the address's size in bytes.
inline void set_address_size(const Decoded& d, Insn& i) {
    i.scale = static_cast<u8>(d.instruction.address_width / 8u);
}
inline u64 address_size_mask(const Insn& i) { return i.scale == 2 ? 0xffff : 0xffff'ffff; }

// legacy_stack.cpp
Handler build_legacy_push(const Decoded& d, Insn& i);
Handler build_legacy_pop(const Decoded& d, Insn& i);
Handler build_legacy_stack(const Decoded& d, Insn& i);  // PUSHA, POPA, ENTER, LEAVE

// legacy_branch.cpp
Handler build_legacy_jcc(const Decoded& d, Insn& i);
Handler build_legacy_jmp(const Decoded& d, Insn& i);
Handler build_legacy_call(const Decoded& d, Insn& i);
Handler build_legacy_ret(const Decoded& d, Insn& i);
Handler build_legacy_loop(const Decoded& d, Insn& i);  // LOOPcc, JCXZ, JECXZ

// legacy_string.cpp
Handler build_legacy_string(const Decoded& d, Insn& i);
Handler build_legacy_port_string(const Decoded& d, Insn& i);  // INS, OUTS
Handler build_legacy_xlat(const Decoded& d, Insn& i);
Handler build_legacy_monitor(const Decoded& d, Insn& i);

// legacy_decimal.cpp: AAA, AAS, AAM, AAD, DAA, DAS, SALC
Handler build_legacy_decimal(const Decoded& d, Insn& i);

}  // namespace postern::cpu
