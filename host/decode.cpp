// SPDX-License-Identifier: Apache-2.0
// From Zydis's description of an instruction to ours.
#include "host/decode.h"

#include <Zydis/Zydis.h>

#include <algorithm>

namespace postern::host {

namespace {

using hv::DecodedAccess;
using Kind = hv::DecodedAccess::Kind;

ZydisDecoder decoder_for(hv::CodeSize size) {
    ZydisDecoder decoder;
    switch (size) {
        case hv::CodeSize::bits16:
            ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_COMPAT_16, ZYDIS_STACK_WIDTH_16);
            break;
        case hv::CodeSize::bits32:
            ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_COMPAT_32, ZYDIS_STACK_WIDTH_32);
            break;
        case hv::CodeSize::bits64:
            ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
            break;
    }
    return decoder;
}

bool is_general(ZydisRegister reg) {
    const ZydisRegisterClass in = ZydisRegisterGetClass(reg);
    return in == ZYDIS_REGCLASS_GPR8 || in == ZYDIS_REGCLASS_GPR16 || in == ZYDIS_REGCLASS_GPR32 ||
           in == ZYDIS_REGCLASS_GPR64;
}

void set_register(DecodedAccess& access, const ZydisDecodedOperand& operand) {
    const ZydisRegister reg = operand.reg.value;
    access.register_size = static_cast<u8>(operand.size / 8);
    access.high_byte = reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH;
    if (access.high_byte) {
        access.gpr = static_cast<u8>(reg - ZYDIS_REGISTER_AH);
        return;
    }
    const ZydisRegister whole = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);
    access.gpr = static_cast<u8>(whole - ZYDIS_REGISTER_RAX);
}

Kind load_kind(ZydisMnemonic mnemonic) {
    switch (mnemonic) {
        case ZYDIS_MNEMONIC_MOV: return Kind::load;
        case ZYDIS_MNEMONIC_MOVZX: return Kind::load_zero_extended;
        case ZYDIS_MNEMONIC_MOVSX:
        case ZYDIS_MNEMONIC_MOVSXD: return Kind::load_sign_extended;
        default: return Kind::unsupported;
    }
}

void set_load(DecodedAccess& access, ZydisMnemonic mnemonic, const ZydisDecodedOperand& to,
              const ZydisDecodedOperand& from) {
    if (!is_general(to.reg.value)) return;
    access.kind = load_kind(mnemonic);
    access.memory_size = static_cast<u8>(from.size / 8);
    set_register(access, to);
}

void set_store(DecodedAccess& access, ZydisMnemonic mnemonic, const ZydisDecodedOperand& to,
               const ZydisDecodedOperand& from) {
    if (mnemonic != ZYDIS_MNEMONIC_MOV) return;
    access.memory_size = static_cast<u8>(to.size / 8);
    if (from.type == ZYDIS_OPERAND_TYPE_REGISTER && is_general(from.reg.value)) {
        access.kind = Kind::store_register;
        set_register(access, from);
    } else if (from.type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
        access.kind = Kind::store_immediate;
        access.immediate = from.imm.value.u & (~u64{0} >> (64 - to.size));
    }
}

}  // namespace

hv::DecodedAccess decode_access(const u8* bytes, size_t count, hv::CodeSize size) {
    const ZydisDecoder decoder = decoder_for(size);
    ZydisDecodedInstruction instruction;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    DecodedAccess access;
    const size_t most = std::min<size_t>(count, ZYDIS_MAX_INSTRUCTION_LENGTH);
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, most, &instruction, operands)))
        return access;
    access.kind = Kind::unsupported;
    access.length = instruction.length;
    if (instruction.operand_count_visible != 2) return access;
    const ZydisDecodedOperand& to = operands[0];
    const ZydisDecodedOperand& from = operands[1];
    if (to.type == ZYDIS_OPERAND_TYPE_REGISTER && from.type == ZYDIS_OPERAND_TYPE_MEMORY)
        set_load(access, instruction.mnemonic, to, from);
    else if (to.type == ZYDIS_OPERAND_TYPE_MEMORY)
        set_store(access, instruction.mnemonic, to, from);
    return access;
}

}  // namespace postern::host
