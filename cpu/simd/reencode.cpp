// SPDX-License-Identifier: Apache-2.0
// Re-encoding, and the check that it gave what was meant.
#include "cpu/simd/reencode.h"

namespace postern::cpu {
namespace {

bool writes_flags(const Decoded& d) {
    const ZydisAccessedFlags* flags = d.instruction.cpu_flags;
    return flags != nullptr && (flags->modified | flags->set_0 | flags->set_1) != 0;
}

/// The guest's instruction for the thunk's registers.
bool make_request(const Decoded& d, const Recipe& recipe, ZydisEncoderRequest& request) {
    if (!ZYAN_SUCCESS(ZydisEncoderDecodedInstructionToEncoderRequest(
            &d.instruction, d.operand.data(), d.instruction.operand_count_visible, &request)))
        return false;
    request.machine_mode = ZYDIS_MACHINE_MODE_LONG_64;
    request.prefixes = 0;  // segment overrides, above all
    request.address_size_hint = ZYDIS_ADDRESS_SIZE_HINT_NONE;
    request.mnemonic = recipe.mnemonic;
    for (unsigned n = 0; n < request.operand_count; ++n) {
        const ZydisDecodedOperand& o = d.operand[n];
        ZydisEncoderOperand& to = request.operands[n];
        if (o.type == ZYDIS_OPERAND_TYPE_MEMORY) {
            to = memory(to.mem.size, ZYDIS_REGISTER_R10);
        } else if (o.type == ZYDIS_OPERAND_TYPE_REGISTER) {
            // Nothing else of it: one in an immediate stays there.
            to.reg.value = recipe.stand_in(o, n);
            if (to.reg.value == ZYDIS_REGISTER_NONE) return false;
        } else if (o.type != ZYDIS_OPERAND_TYPE_IMMEDIATE) {
            return false;
        }
    }
    return true;
}

/// Did the encoder make the instruction that was meant? Operand sizes tell, hidden ones included.
bool is_faithful(const Decoded& d, ZydisMnemonic mnemonic, std::span<const u8> code) {
    ZydisDecoder decoder;
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    Decoded again{};
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code.data(), code.size(), &again.instruction,
                                             again.operand.data())))
        return false;
    if (again.instruction.mnemonic != mnemonic || again.instruction.length != code.size() ||
        again.instruction.operand_count != d.instruction.operand_count)
        return false;
    for (unsigned n = 0; n < d.instruction.operand_count; ++n) {
        const ZydisDecodedOperand& a = d.operand[n];
        const ZydisDecodedOperand& b = again.operand[n];
        if (a.type != b.type || a.size != b.size || a.actions != b.actions ||
            class_of_operand(a) != class_of_operand(b))
            return false;
        if (a.type == ZYDIS_OPERAND_TYPE_IMMEDIATE && a.imm.value.u != b.imm.value.u) return false;
    }
    return true;
}

}  // namespace

ZydisRegisterClass class_of_operand(const ZydisDecodedOperand& o) {
    return o.type == ZYDIS_OPERAND_TYPE_REGISTER ? ZydisRegisterGetClass(o.reg.value)
                                                 : ZYDIS_REGCLASS_INVALID;
}
bool is_gpr(const ZydisDecodedOperand& o) {
    switch (class_of_operand(o)) {
        case ZYDIS_REGCLASS_GPR8:
        case ZYDIS_REGCLASS_GPR16:
        case ZYDIS_REGCLASS_GPR32:
        case ZYDIS_REGCLASS_GPR64: return true;
        default: return false;
    }
}
bool is_read(const ZydisDecodedOperand& o) {
    return (o.actions & ZYDIS_OPERAND_ACTION_MASK_READ) != 0;
}
bool is_written(const ZydisDecodedOperand& o) {
    return (o.actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0;
}

std::span<const ZydisDecodedOperand> visible(const Decoded& d) {
    return {d.operand.data(), d.instruction.operand_count_visible};
}
std::span<const ZydisDecodedOperand> hidden(const Decoded& d) {
    return {d.operand.data() + d.instruction.operand_count_visible,
            static_cast<size_t>(d.instruction.operand_count - d.instruction.operand_count_visible)};
}

ZydisRegister full_register(ZydisRegister r) {
    return ZydisRegisterEncode(ZYDIS_REGCLASS_GPR64, static_cast<u8>(ZydisRegisterGetId(r)));
}

Thunk ThunkCache::find(const Decoded& d, const Recipe& recipe, bool guarded) {
    ZydisEncoderRequest request;
    Emitter instruction;
    if (!make_request(d, recipe, request)) return {};
    instruction.add(request);
    if (!instruction.ok()) return {};
    const std::span<const u8> bytes = instruction.bytes();
    const std::lock_guard lock{mutex_};
    const auto [entry, is_new] = thunks_.try_emplace(std::string(bytes.begin(), bytes.end()));
    if (!is_new || !is_faithful(d, recipe.mnemonic, bytes)) return entry->second;
    Emitter thunk;
    recipe.body(thunk, d, request);
    if (writes_flags(d))
        emit_flags_end(thunk);
    else
        emit_end(thunk);
    entry->second = place_thunk(thunk, guarded);
    return entry->second;
}

}  // namespace postern::cpu
