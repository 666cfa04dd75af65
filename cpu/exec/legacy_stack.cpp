// SPDX-License-Identifier: Apache-2.0
// The stack outside 64-bit mode: operands of 16 or 32 bits, SP or ESP by SS.B, every access
// checked against SS.
#include "cpu/decode/instruction_table.h"
#include "cpu/exec/legacy.h"
#include "cpu/exec/operand.h"
#include "cpu/exec/segment_check.h"
#include "cpu/exec/system.h"
#include "cpu/exec/system/common.h"
#include "cpu/mode.h"

namespace postern::cpu {
namespace {

/// One push of several: `pointer` moves, SP stays.
Result<> push_at(Cpu& c, u64& pointer, unsigned size, u64 value) {
    const u64 at = (pointer - size) & stack_mask(c.segment[ss]);
    const Gva linear = TRY(segment_address(c, ss, at, size, Access::write));
    TRY(store(c, linear, size, value));
    pointer = at;
    return Done{};
}

Result<> push_immediate(Cpu& c, const Insn& i) {
    return push_value(c, static_cast<u64>(i.imm), size_of(i));
}
Result<> push_operand(Cpu& c, const Insn& i) {
    const u64 value = TRY(read_operand(c, i, i.src));
    return push_value(c, value, size_of(i));
}

/// POP SP: the value read wins. A memory operand's address has been made with SP as it is
/// afterwards.
Result<> pop_operand(Cpu& c, const Insn& i) {
    const unsigned size = size_of(i);
    const u64 value = TRY(peek_stack(c, size));
    if (has_memory(i)) {
        TRY(store(c, linear_address(c, i), size, value));
        release_stack(c, size);
        return Done{};
    }
    release_stack(c, size);
    put_sized(c, i.dst, size, value);
    return Done{};
}

// The eight registers. SDM 2B, "PUSHA/PUSHAD", "POPA/POPAD".

Result<> push_all(Cpu& c, const Insn& i) {
    const unsigned size = size_of(i);
    TRY(probe_pushes(c, size, 8));
    u64 pointer = c.gpr[rsp];
    for (unsigned row = 0; row < 8; ++row)
        TRY(push_at(c, pointer, size, c.gpr[row] & size_mask(size)));
    set_stack_pointer(c, pointer);
    return Done{};
}

Result<> pop_all(Cpu& c, const Insn& i) {
    const unsigned size = size_of(i);
    std::array<u64, 8> value;
    for (unsigned n = 0; n < 8; ++n) value[7 - n] = TRY(peek_stack(c, size, u64{n} * size));
    for (u8 row = 0; row < 8; ++row)
        if (row != rsp) put_sized(c, row, size, value[row]);
    release_stack(c, u64{8} * size);
    return Done{};
}

/// SDM 2A, "ENTER": imm has the bytes to allocate and, above 16 bits, the nesting level.
Result<> enter(Cpu& c, const Insn& i) {
    const unsigned size = size_of(i);
    const u64 allocated = static_cast<u64>(i.imm) & 0xffff;
    const auto level = static_cast<unsigned>(i.imm >> 16) % 32;
    const u64 mask = stack_mask(c.segment[ss]);
    u64 pointer = c.gpr[rsp];
    TRY(push_at(c, pointer, size, c.gpr[rbp] & size_mask(size)));
    const u64 frame = pointer;
    u64 display = c.gpr[rbp];
    for (unsigned n = 1; n < level; ++n) {
        display = (display - size) & mask;
        const Gva from = TRY(segment_address(c, ss, display, size, Access::read));
        const u64 link = TRY(load(c, from, size));
        TRY(push_at(c, pointer, size, link));
    }
    if (level != 0) TRY(push_at(c, pointer, size, frame));
    pointer = (pointer - allocated) & mask;
    const Gva last = TRY(segment_address(c, ss, pointer, size, Access::write));
    TRY(probe_write(c, last, size));
    set_stack_pointer(c, pointer);
    put_sized(c, rbp, size, frame);
    return Done{};
}

/// SDM 2A, "LEAVE".
Result<> leave(Cpu& c, const Insn& i) {
    const unsigned size = size_of(i);
    const u64 frame = c.gpr[rbp] & stack_mask(c.segment[ss]);
    const Gva from = TRY(segment_address(c, ss, frame, size, Access::read));
    const u64 value = TRY(load(c, from, size));
    set_stack_pointer(c, frame + size);
    put_sized(c, rbp, size, value);
    return Done{};
}

bool is_segment_register(const Decoded& d) {
    return d.is_register(0) &&
           ZydisRegisterGetClass(d.operand[0].reg.value) == ZYDIS_REGCLASS_SEGMENT;
}
u8 segment_number(const Decoded& d) {
    return static_cast<u8>(ZydisRegisterGetId(d.operand[0].reg.value));
}

}  // namespace

Handler build_legacy_push(const Decoded& d, Insn& i) {
    set_operand_size(d, i);
    if (is_segment_register(d)) {
        i.src = segment_number(d);
        return ends_block<exec_push_segment>;
    }
    if (d.is_immediate(0)) {
        i.imm = d.operand[0].imm.value.s;
        return inside_block<push_immediate>;
    }
    if (d.is_register(0)) i.src = register_row(d.operand[0].reg.value);
    return inside_block<push_operand>;
}

Handler build_legacy_pop(const Decoded& d, Insn& i) {
    set_operand_size(d, i);
    if (is_segment_register(d)) {
        if ((d.mode & mode_enclave) != 0) return undefined_instruction;
        i.dst = segment_number(d);
        return ends_block<exec_pop_segment>;
    }
    if (d.is_register(0)) i.dst = register_row(d.operand[0].reg.value);
    return inside_block<pop_operand>;
}

Handler build_legacy_stack(const Decoded& d, Insn& i) {
    set_operand_size(d, i);
    switch (d.instruction.mnemonic) {
        case ZYDIS_MNEMONIC_PUSHA:
        case ZYDIS_MNEMONIC_PUSHAD: return inside_block<push_all>;
        case ZYDIS_MNEMONIC_POPA:
        case ZYDIS_MNEMONIC_POPAD: return inside_block<pop_all>;
        case ZYDIS_MNEMONIC_LEAVE: return inside_block<leave>;
        default: break;
    }
    i.imm = static_cast<i64>((d.operand[0].imm.value.u & 0xffff) | (d.operand[1].imm.value.u & 0xff)
                                                                       << 16);
    return inside_block<enter>;
}

}  // namespace postern::cpu
