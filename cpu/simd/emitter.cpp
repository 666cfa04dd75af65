// SPDX-License-Identifier: Apache-2.0
// Zydis encodes; what is here only names its operands.
#include "cpu/simd/emitter.h"

#include <algorithm>
#include <cstddef>

#include "cpu/cpu.h"
#include "cpu/flags.h"
#include "cpu/x87/unit.h"

namespace postern::cpu {
namespace {

Step go_on(Cpu& c, const Insn* i) { NEXT(c, i); }

/// From LAHF and SETO. Instructions on vectors leave no flag undefined.
Step finish_flags(Cpu& c, const Insn* i, u64 ah_al) {
    constexpr u64 ah_flags = 0xd5;  // SF ZF AF PF CF
    from_image(c, (ah_al >> 8 & ah_flags) | (ah_al & 1) << 11);
    return go_on(c, i);
}

}  // namespace

ZydisEncoderOperand reg(ZydisRegister r) {
    ZydisEncoderOperand operand{};
    operand.type = ZYDIS_OPERAND_TYPE_REGISTER;
    operand.reg.value = r;
    return operand;
}

ZydisEncoderOperand memory(u16 size, ZydisRegister base, i64 displacement, ZydisRegister index,
                           u8 scale) {
    ZydisEncoderOperand operand{};
    operand.type = ZYDIS_OPERAND_TYPE_MEMORY;
    operand.mem = {base, index, scale, displacement, size};
    return operand;
}

ZydisEncoderOperand immediate(u64 value) {
    ZydisEncoderOperand operand{};
    operand.type = ZYDIS_OPERAND_TYPE_IMMEDIATE;
    operand.imm.u = value;
    return operand;
}

void Emitter::add(ZydisMnemonic mnemonic, std::initializer_list<ZydisEncoderOperand> operands) {
    ZydisEncoderRequest request{};
    request.machine_mode = ZYDIS_MACHINE_MODE_LONG_64;
    request.allowed_encodings = static_cast<ZydisEncodableEncoding>(
        ZYDIS_ENCODABLE_ENCODING_LEGACY | ZYDIS_ENCODABLE_ENCODING_VEX);
    request.mnemonic = mnemonic;
    request.operand_count = static_cast<u8>(operands.size());
    std::ranges::copy(operands, request.operands);
    add(request);
}

void Emitter::add(const ZydisEncoderRequest& request) {
    ZyanUSize length = bytes_.size() - size_;
    ok_ = ok_ &&
          ZYAN_SUCCESS(ZydisEncoderEncodeInstruction(&request, bytes_.data() + size_, &length));
    if (ok_) size_ += length;
}

void Emitter::add_bytes(std::span<const u8> bytes) {
    ok_ = ok_ && bytes.size() <= bytes_.size() - size_;
    if (!ok_) return;
    std::ranges::copy(bytes, bytes_.begin() + static_cast<std::ptrdiff_t>(size_));
    size_ += bytes.size();
}

void emit_end(Emitter& e) {
    if constexpr (POSTERN_LOOP != 0) {
        e.add(ZYDIS_MNEMONIC_MOV,
              {reg(ZYDIS_REGISTER_EAX), immediate(static_cast<u64>(Step::next))});
        e.add(ZYDIS_MNEMONIC_RET, {});
    } else {
        e.add(ZYDIS_MNEMONIC_ADD, {reg(ZYDIS_REGISTER_RSI), immediate(sizeof(Insn))});
        e.add(ZYDIS_MNEMONIC_JMP, {memory(8, ZYDIS_REGISTER_RSI, offsetof(Insn, run))});
    }
}

void emit_flags_end(Emitter& e) {
    e.add(ZYDIS_MNEMONIC_LAHF, {});
    e.add(ZYDIS_MNEMONIC_SETO, {reg(ZYDIS_REGISTER_AL)});
    e.add(ZYDIS_MNEMONIC_MOV, {reg(ZYDIS_REGISTER_EDX), reg(ZYDIS_REGISTER_EAX)});
    emit_jump(e, reinterpret_cast<const void*>(&finish_flags));
}

void emit_jump(Emitter& e, const void* handler) {
    e.add(ZYDIS_MNEMONIC_MOV, {reg(ZYDIS_REGISTER_RAX), immediate(reinterpret_cast<u64>(handler))});
    e.add(ZYDIS_MNEMONIC_JMP, {reg(ZYDIS_REGISTER_RAX)});
}

size_t emit_guarded(Emitter& e, std::span<const u8> code) {
    e.add(ZYDIS_MNEMONIC_CMP, {memory(1, ZYDIS_REGISTER_RDI, offsetof(Cpu, x87_unit)),
                               immediate(static_cast<u64>(X87Unit::masked))});
    ZydisEncoderRequest past{};
    past.machine_mode = ZYDIS_MACHINE_MODE_LONG_64;
    past.mnemonic = ZYDIS_MNEMONIC_JNZ;
    past.branch_type = ZYDIS_BRANCH_TYPE_NEAR;
    past.branch_width = ZYDIS_BRANCH_WIDTH_32;
    past.operand_count = 1;
    past.operands[0] = immediate(code.size());
    e.add(past);
    const size_t start = e.bytes().size();
    e.add_bytes(code);
    emit_jump(e, reinterpret_cast<const void*>(&unit_not_ready));
    return start;
}

}  // namespace postern::cpu
