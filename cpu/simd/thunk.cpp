// SPDX-License-Identifier: Apache-2.0
// Thunks of legacy-encoded instructions. Registers in a thunk:
//   rdi  the Cpu       rsi  the Insn      both as the handler got them, to the very end
//   mm0 to mm7         the guest's own
//   r10  the memory operand               r8, r9  where operand 0 and the later register live
//   xmm1, rax  operand 0                  xmm2, rcx  the later register operand
//   xmm0, rax, rdx, rcx  what the instruction uses without saying so
#include "cpu/simd/thunk.h"

#include <algorithm>
#include <cstddef>
#include <span>

#include "cpu/event/event.h"
#include "cpu/exec/fast.h"
#include "cpu/simd/code_arena.h"
#include "cpu/simd/emitter.h"
#include "cpu/simd/reencode.h"

namespace postern::cpu {
namespace {

// What a thunk knows of the structures.
constexpr i32 vector_offset = offsetof(Cpu, vector) + offsetof(VectorState, zmm);
constexpr u8 vector_shift = 6;
static_assert(sizeof(VectorRegister) == 1u << vector_shift && vector_offset % 16 == 0);

bool is_xmm(const ZydisDecodedOperand& o) { return class_of_operand(o) == ZYDIS_REGCLASS_XMM; }
bool is_mmx(const ZydisDecodedOperand& o) { return class_of_operand(o) == ZYDIS_REGCLASS_MMX; }
/// Operand `n`'s register in the thunk: that of the same class.
ZydisRegister stand_in(const ZydisDecodedOperand& o, unsigned n) {
    const u8 number = n == 0 ? u8{0} : u8{1};  // (R)AX or (R)CX
    if (is_xmm(o)) return ZydisRegisterEncode(ZYDIS_REGCLASS_XMM, static_cast<u8>(1 + number));
    if (is_mmx(o)) return o.reg.value;
    return is_gpr(o) ? ZydisRegisterEncode(class_of_operand(o), number) : ZYDIS_REGISTER_NONE;
}

/// Stores around the caches are ordinary ones here: who looks at memory next is the same thread.
/// CVTPI2PD from memory leaves the x87 state alone, as its twin on XMM registers does, and needs no
/// more of its operand.
ZydisMnemonic mnemonic_in_thunk(const Decoded& d) {
    switch (d.instruction.mnemonic) {
        case ZYDIS_MNEMONIC_MOVNTDQ:
        case ZYDIS_MNEMONIC_MOVNTDQA: return ZYDIS_MNEMONIC_MOVDQA;
        case ZYDIS_MNEMONIC_MOVNTI: return ZYDIS_MNEMONIC_MOV;
        case ZYDIS_MNEMONIC_MOVNTPD: return ZYDIS_MNEMONIC_MOVAPD;
        case ZYDIS_MNEMONIC_MOVNTPS: return ZYDIS_MNEMONIC_MOVAPS;
        case ZYDIS_MNEMONIC_MOVNTQ: return ZYDIS_MNEMONIC_MOVQ;
        case ZYDIS_MNEMONIC_CVTPI2PD:
            return d.is_memory(1) ? ZYDIS_MNEMONIC_CVTDQ2PD : ZYDIS_MNEMONIC_CVTPI2PD;
        default: return d.instruction.mnemonic;
    }
}

// The parts of a thunk.

ZydisEncoderOperand vector_slot(ZydisRegister index) {
    return memory(16, ZYDIS_REGISTER_RDI, vector_offset, index, 1);
}
ZydisEncoderOperand gpr_slot(ZydisRegister index) {
    return memory(8, ZYDIS_REGISTER_RDI, 0, index, 8);
}
/// A register whose number is known.
ZydisEncoderOperand fixed_slot(ZydisRegister r) {
    const i64 number = static_cast<u8>(ZydisRegisterGetId(r));
    return ZydisRegisterGetClass(r) == ZYDIS_REGCLASS_XMM
               ? memory(16, ZYDIS_REGISTER_RDI, vector_offset + (number << vector_shift))
               : memory(8, ZYDIS_REGISTER_RDI, 8 * number);
}
/// Which register the Insn names, as an index.
void emit_index(Emitter& e, const ZydisDecodedOperand& o, unsigned n) {
    const i64 field = n == 0 ? offsetof(Insn, dst) : offsetof(Insn, src);
    const ZydisRegister index = n == 0 ? ZYDIS_REGISTER_R8D : ZYDIS_REGISTER_R9D;
    e.add(ZYDIS_MNEMONIC_MOVZX, {reg(index), memory(1, ZYDIS_REGISTER_RSI, field)});
    if (is_xmm(o)) e.add(ZYDIS_MNEMONIC_SHL, {reg(index), immediate(vector_shift)});
}
ZydisRegister index_of(unsigned n) { return n == 0 ? ZYDIS_REGISTER_R8 : ZYDIS_REGISTER_R9; }

/// Vector registers are always loaded: many instructions leave part of their destination alone.
void emit_load(Emitter& e, const ZydisDecodedOperand& o, unsigned n) {
    const ZydisRegister to = stand_in(o, n);
    if (is_xmm(o)) {
        e.add(ZYDIS_MNEMONIC_MOVAPS, {reg(to), vector_slot(index_of(n))});
    } else if (class_of_operand(o) == ZYDIS_REGCLASS_GPR8) {
        // The row is a byte offset.
        e.add(ZYDIS_MNEMONIC_MOV, {reg(to), memory(1, ZYDIS_REGISTER_RDI, 0, index_of(n), 1)});
    } else if (is_read(o)) {
        e.add(ZYDIS_MNEMONIC_MOV, {reg(full_register(to)), gpr_slot(index_of(n))});
    }
}
void emit_store(Emitter& e, const ZydisDecodedOperand& o, unsigned n) {
    const ZydisRegister from = stand_in(o, n);
    if (is_xmm(o))
        e.add(ZYDIS_MNEMONIC_MOVAPS, {vector_slot(index_of(n)), reg(from)});
    else
        e.add(ZYDIS_MNEMONIC_MOV, {gpr_slot(index_of(n)), reg(full_register(from))});
}

void emit_hidden(Emitter& e, const Decoded& d, bool before) {
    for (const ZydisDecodedOperand& o : hidden(d)) {
        if (!is_xmm(o) && !is_gpr(o)) continue;
        if (!(before ? is_read(o) : is_written(o))) continue;
        const ZydisRegister r = is_xmm(o) ? o.reg.value : full_register(o.reg.value);
        const ZydisMnemonic move = is_xmm(o) ? ZYDIS_MNEMONIC_MOVAPS : ZYDIS_MNEMONIC_MOV;
        if (before)
            e.add(move, {reg(r), fixed_slot(r)});
        else
            e.add(move, {fixed_slot(r), reg(r)});
    }
}

bool has_result(const Decoded& d) {
    if (visible(d).empty()) return false;
    const ZydisDecodedOperand& o = d.operand[0];
    return (is_xmm(o) || is_gpr(o)) && is_written(o);
}

/// CVTPI2PS from memory, without the MMX instruction: it must not meet what is in the unit.
void emit_pair_conversion(Emitter& e) {
    const auto pair = reg(ZYDIS_REGISTER_XMM0), destination = reg(ZYDIS_REGISTER_XMM1);
    e.add(ZYDIS_MNEMONIC_MOVQ, {pair, memory(8, ZYDIS_REGISTER_R10)});
    e.add(ZYDIS_MNEMONIC_CVTDQ2PS, {pair, pair});
    e.add(ZYDIS_MNEMONIC_MOVSD, {destination, pair});
}

void emit_thunk(Emitter& e, const Decoded& d, const ZydisEncoderRequest& request) {
    const std::span operands = visible(d);
    e.add(ZYDIS_MNEMONIC_MOV, {reg(ZYDIS_REGISTER_R10), reg(ZYDIS_REGISTER_RDX)});
    for (unsigned n = 0; n < operands.size(); ++n) {
        if (!is_xmm(operands[n]) && !is_gpr(operands[n])) continue;
        emit_index(e, operands[n], n);
        emit_load(e, operands[n], n);
    }
    emit_hidden(e, d, true);
    if (d.instruction.mnemonic == ZYDIS_MNEMONIC_CVTPI2PS && d.is_memory(1))
        emit_pair_conversion(e);
    else
        e.add(request);
    emit_hidden(e, d, false);
    if (has_result(d)) emit_store(e, d.operand[0], 0);
}

constexpr ZydisMnemonic emms = ZYDIS_MNEMONIC_EMMS;

/// Shapes that the scheme above has registers for.
bool is_supported(const Decoded& d) {
    if (d.instruction.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY) return false;
    if (d.instruction.operand_count_visible == 0) return d.instruction.mnemonic == emms;
    unsigned later_registers = 0;
    for (unsigned n = 1; n < visible(d).size(); ++n) later_registers += d.is_register(n) ? 1 : 0;
    if (later_registers > 1) return false;
    const bool gpr_result = is_gpr(d.operand[0]);
    return std::ranges::none_of(hidden(d), [&](const ZydisDecodedOperand& o) {
        return o.type == ZYDIS_OPERAND_TYPE_MEMORY || (gpr_result && is_gpr(o)) || is_mmx(o);
    });
}

}  // namespace

Thunk find_thunk(const Decoded& d, bool guarded) {
    static ThunkCache cache;
    if (!is_supported(d)) return {};
    return cache.find(d, {mnemonic_in_thunk(d), stand_in, emit_thunk}, guarded);
}

Thunk place_thunk(const Emitter& code, bool guarded) {
    if (!code.ok()) return {};
    if (!guarded) {
        const auto* at = static_cast<const u8*>(CodeArena::instance().add(code.bytes()));
        return {at, at};
    }
    Emitter all;
    const size_t start = emit_guarded(all, code.bytes());
    if (!all.ok()) return {};
    const auto* at = static_cast<const u8*>(CodeArena::instance().add(all.bytes()));
    return at == nullptr ? Thunk{} : Thunk{at, at + start};
}

bool uses_mmx(const Decoded& d) {
    return d.instruction.mnemonic == ZYDIS_MNEMONIC_EMMS || std::ranges::any_of(visible(d), is_mmx);
}

void take_simd_registers(const Decoded& d, Insn& i) {
    for (unsigned n = 0; n < visible(d).size(); ++n) {
        const ZydisDecodedOperand& o = d.operand[n];
        if (!is_xmm(o) && !is_gpr(o)) continue;
        const u8 row = is_xmm(o) ? static_cast<u8>(ZydisRegisterGetId(o.reg.value))
                                 : register_row(o.reg.value);
        (n == 0 ? i.dst : i.src) = row;
    }
}

Step simd_exception(Cpu& c, const Insn* i) {
    if (c.cr4.has(Cr4::osxmmexcpt))
        (void)raise(c, Vector::simd_floating_point);
    else
        (void)invalid_opcode(c);
    return fault_at(c, i);
}

}  // namespace postern::cpu
