// SPDX-License-Identifier: Apache-2.0
// One instruction as Zydis sees it, and the questions the builders of handlers ask of it.
#pragma once

#include <Zydis/Zydis.h>

#include <array>

#include "cpu/decode/block_cache.h"
#include "cpu/insn.h"

namespace postern::cpu {

struct Decoded {
    ZydisDecodedInstruction instruction;
    std::array<ZydisDecodedOperand, ZYDIS_MAX_OPERAND_COUNT> operand;
    u16 page_offset;  // of the block's first byte: tells which jumps stay in the page
    u32 mode;         // BlockMode

    [[nodiscard]] bool is_register(unsigned n) const {
        return operand[n].type == ZYDIS_OPERAND_TYPE_REGISTER;
    }
    [[nodiscard]] bool is_memory(unsigned n) const {
        return operand[n].type == ZYDIS_OPERAND_TYPE_MEMORY;
    }
    [[nodiscard]] bool is_immediate(unsigned n) const {
        return operand[n].type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
    }
    /// Operand size in bytes.
    [[nodiscard]] unsigned size(unsigned n) const { return operand[n].size / 8u; }
    [[nodiscard]] bool has(ZydisInstructionAttributes attribute) const {
        return (instruction.attributes & attribute) != 0;
    }
};

/// Picks the handler for a decoded instruction and fills what it needs of `insn` (the memory
/// operand, length and form flags are filled already). Null: this form is not implemented.
using Build = Handler (*)(const Decoded& d, Insn& insn, BlockCache& cache);

/// Row of Cpu::gpr; for 8-bit registers the byte offset into it.
u8 register_row(ZydisRegister r);

/// Control, debug or segment registers as operands make a system instruction of a MOV or a POP.
bool ends_in_system_form(const Decoded& d);

/// f(T{}) for the unsigned T of `bytes` bytes; null for other sizes.
template <class F>
Handler by_size(unsigned bytes, F f) {
    switch (bytes) {
        case 1: return f(u8{});
        case 2: return f(u16{});
        case 4: return f(u32{});
        case 8: return f(u64{});
        default: return nullptr;
    }
}

/// The slow form where the address cannot be computed the fast way.
inline Handler fast_or_slow(const Insn& insn, Handler fast, Handler slow) {
    return (insn.form & form_address32) != 0 ? slow : fast;
}

}  // namespace postern::cpu
