// SPDX-License-Identifier: Apache-2.0
// Thunks of VEX-encoded instructions. Registers in a thunk:
//   rdi  the Cpu       rsi  the Insn      both as the handler got them, to the very end
//   r10  the memory operand               r11  the VexOperands      r8  where a register lives
//   ymm1 to ymm4  operands 0 to 3         rax  operand 0, rcx  a later one
//   ymm0, rax, rdx, rcx  what the instruction uses without saying so
#include "cpu/simd/vex_thunk.h"

#include <algorithm>
#include <cstddef>

#include "cpu/cpu.h"
#include "cpu/simd/reencode.h"

namespace postern::cpu {
namespace {

constexpr u32 vector_offset = offsetof(Cpu, vector) + offsetof(VectorState, zmm);
static_assert(vector_offset % 32 == 0 && sizeof(VectorRegister) % 32 == 0);
static_assert(offsetof(Cpu, gpr) == 0);

bool is_vector(const ZydisDecodedOperand& o) {
    const ZydisRegisterClass c = class_of_operand(o);
    return c == ZYDIS_REGCLASS_XMM || c == ZYDIS_REGCLASS_YMM;
}
bool is_ymm(const ZydisDecodedOperand& o) { return class_of_operand(o) == ZYDIS_REGCLASS_YMM; }

ZydisRegister stand_in(const ZydisDecodedOperand& o, unsigned n) {
    if (is_vector(o)) return ZydisRegisterEncode(class_of_operand(o), static_cast<u8>(1 + n));
    if (!is_gpr(o)) return ZYDIS_REGISTER_NONE;
    return ZydisRegisterEncode(class_of_operand(o), n == 0 ? u8{0} : u8{1});  // RAX or RCX
}

/// Stores around the caches are ordinary ones here: who looks at memory next is the same thread.
ZydisMnemonic mnemonic_in_thunk(const Decoded& d) {
    switch (d.instruction.mnemonic) {
        case ZYDIS_MNEMONIC_VMOVNTDQ:
        case ZYDIS_MNEMONIC_VMOVNTDQA: return ZYDIS_MNEMONIC_VMOVDQA;
        case ZYDIS_MNEMONIC_VMOVNTPD: return ZYDIS_MNEMONIC_VMOVAPD;
        case ZYDIS_MNEMONIC_VMOVNTPS: return ZYDIS_MNEMONIC_VMOVAPS;
        default: return d.instruction.mnemonic;
    }
}

ZydisRegister ymm_of(ZydisRegister r) {
    return ZydisRegisterEncode(ZYDIS_REGCLASS_YMM, static_cast<u8>(ZydisRegisterGetId(r)));
}

u32 place_of(ZydisRegister r) {
    const auto id = static_cast<u32>(ZydisRegisterGetId(r));
    const ZydisRegisterClass c = ZydisRegisterGetClass(r);
    const bool vector = c == ZYDIS_REGCLASS_XMM || c == ZYDIS_REGCLASS_YMM;
    return vector ? vector_offset + id * u32{sizeof(VectorRegister)} : id * u32{sizeof(u64)};
}

/// A 128-bit form reads no upper half, so none is loaded: the host's stay clean.
void emit_load(Emitter& e, ZydisRegister to, const ZydisEncoderOperand& from) {
    ZydisEncoderOperand sized = from;
    if (ZydisRegisterGetClass(to) == ZYDIS_REGCLASS_XMM) {
        sized.mem.size = 16;
        e.add(ZYDIS_MNEMONIC_VMOVAPS, {reg(to), sized});
    } else if (ZydisRegisterGetClass(to) == ZYDIS_REGCLASS_YMM) {
        sized.mem.size = 32;
        e.add(ZYDIS_MNEMONIC_VMOVAPS, {reg(to), sized});
    } else {
        sized.mem.size = 8;
        e.add(ZYDIS_MNEMONIC_MOV, {reg(full_register(to)), sized});
    }
}
void emit_store(Emitter& e, const ZydisEncoderOperand& to, ZydisRegister from, bool vector) {
    ZydisEncoderOperand sized = to;
    sized.mem.size = vector ? 32 : 8;
    if (vector)
        e.add(ZYDIS_MNEMONIC_VMOVAPS, {sized, reg(ymm_of(from))});
    else
        e.add(ZYDIS_MNEMONIC_MOV, {sized, reg(full_register(from))});
}

/// Where visible operand `n`'s register lives.
ZydisEncoderOperand emit_place(Emitter& e, unsigned n) {
    const i64 field = static_cast<i64>(offsetof(VexOperands, place) + n * sizeof(u32));
    e.add(ZYDIS_MNEMONIC_MOV, {reg(ZYDIS_REGISTER_R8D), memory(4, ZYDIS_REGISTER_R11, field)});
    return memory(0, ZYDIS_REGISTER_RDI, 0, ZYDIS_REGISTER_R8, 1);
}
ZydisEncoderOperand fixed_place(ZydisRegister r) {
    return memory(0, ZYDIS_REGISTER_RDI, i64{place_of(r)});
}

void emit_hidden(Emitter& e, const Decoded& d, bool before) {
    for (const ZydisDecodedOperand& o : hidden(d)) {
        if (!is_vector(o) && !is_gpr(o)) continue;
        if (!(before ? is_read(o) : is_written(o))) continue;
        if (before)
            emit_load(e, o.reg.value, fixed_place(o.reg.value));
        else
            emit_store(e, fixed_place(o.reg.value), o.reg.value, is_vector(o));
    }
}

void emit_thunk(Emitter& e, const Decoded& d, const ZydisEncoderRequest& request) {
    const std::span operands = visible(d);
    e.add(ZYDIS_MNEMONIC_MOV, {reg(ZYDIS_REGISTER_R10), reg(ZYDIS_REGISTER_RDX)});
    e.add(ZYDIS_MNEMONIC_MOV,
          {reg(ZYDIS_REGISTER_R11), memory(8, ZYDIS_REGISTER_RSI, offsetof(Insn, aux))});
    for (unsigned n = 0; n < operands.size(); ++n)
        if (d.is_register(n) && is_read(operands[n]))
            emit_load(e, stand_in(operands[n], n), emit_place(e, n));
    emit_hidden(e, d, true);
    e.add(request);
    emit_hidden(e, d, false);
    if (d.is_register(0) && is_written(operands[0]))
        emit_store(e, emit_place(e, 0), stand_in(operands[0], 0), is_vector(operands[0]));
    // Legacy-encoded instructions are slower on some hosts while upper halves are in use.
    if (std::ranges::any_of(operands, is_ymm)) e.add(ZYDIS_MNEMONIC_VZEROUPPER, {});
}

/// Only operand 0 is ever a register that the instruction writes, and no general register is both
/// visible and hidden.
bool is_supported(const Decoded& d) {
    if (d.instruction.encoding != ZYDIS_INSTRUCTION_ENCODING_VEX) return false;
    const std::span operands = visible(d);
    if (operands.empty() || operands.size() > std::tuple_size_v<decltype(VexOperands::place)>)
        return false;
    if (std::ranges::any_of(operands.subspan(1), is_written)) return false;
    const bool gpr = std::ranges::any_of(operands, is_gpr);
    return std::ranges::none_of(hidden(d), [&](const ZydisDecodedOperand& o) {
        return o.type == ZYDIS_OPERAND_TYPE_MEMORY || (gpr && is_gpr(o));
    });
}

}  // namespace

VexOperands* make_vex_operands(const Decoded& d, BlockCache& cache) {
    auto* operands = cache.allocate<VexOperands>(1);
    *operands = {};
    for (unsigned n = 0; n < operands->place.size() && n < d.instruction.operand_count_visible; ++n)
        if (d.is_register(n)) operands->place[n] = place_of(d.operand[n].reg.value);
    return operands;
}

const void* find_vex_thunk(const Decoded& d) {
    static ThunkCache cache;
    if (!is_supported(d)) return nullptr;
    return cache.find(d, {mnemonic_in_thunk(d), stand_in, emit_thunk}, false).entry;
}

}  // namespace postern::cpu
