// SPDX-License-Identifier: Apache-2.0
// Where the instruction at RIP may lead to.
#include "tests/sweep/one_instruction.h"

#include <algorithm>
#include <cstring>

#include <Zydis/Zydis.h>
#include <fmt/format.h>

namespace postern::sweep {
namespace {

struct Decoded {
    ZydisDecodedInstruction instruction;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
};

bool decode(const EnclaveMemory& enclave, u64 rip, Decoded& decoded) {
    const u8* const bytes = enclave.at(rip);
    if (bytes == nullptr) return false;
    const u64 left = std::min<u64>(page_size - rip % page_size, ZYDIS_MAX_INSTRUCTION_LENGTH);
    u8 whole[ZYDIS_MAX_INSTRUCTION_LENGTH] = {};
    std::memcpy(whole, bytes, left);
    const u8* const next_page = enclave.at(rip + left);
    if (left < sizeof whole && next_page != nullptr)
        std::memcpy(whole + left, next_page, sizeof whole - left);
    ZydisDecoder decoder;
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    return ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, whole, sizeof whole, &decoded.instruction,
                                               decoded.operands));
}

u64 register_value(const SavedFrame& saved, ZydisRegister reg) {
    return saved.general()[static_cast<size_t>(reg - ZYDIS_REGISTER_RAX)];
}

/// Where a CALL, JMP, Jcc or RET goes if it does not fall through; 0: not known.
u64 target_of(const EnclaveMemory& enclave, const SavedFrame& before, const Decoded& decoded) {
    u64 target = 0;
    if (decoded.instruction.meta.category == ZYDIS_CATEGORY_RET) {
        const u8* const top = enclave.at(before.gprsgx.rsp);
        if (top != nullptr) std::memcpy(&target, top, sizeof target);
        return target;
    }
    const ZydisDecodedOperand& to = decoded.operands[0];
    if (to.type == ZYDIS_OPERAND_TYPE_REGISTER) return register_value(before, to.reg.value);
    ZydisCalcAbsoluteAddress(&decoded.instruction, &to, before.gprsgx.rip, &target);
    return target;
}

bool is_repeated(const ZydisDecodedInstruction& instruction) {
    return (instruction.attributes &
            (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE)) != 0;
}

/// One iteration: RCX one less, RIP the same until RCX is 0.
bool is_one_iteration(const Gprsgx& before, const Gprsgx& after, u64 next) {
    if (before.rcx == 0) return after.rip == next;
    return after.rcx == before.rcx - 1 && after.rip == (after.rcx == 0 ? next : before.rip);
}

bool is_branch(ZydisInstructionCategory category) {
    return category == ZYDIS_CATEGORY_CALL || category == ZYDIS_CATEGORY_RET ||
           category == ZYDIS_CATEGORY_COND_BR || category == ZYDIS_CATEGORY_UNCOND_BR;
}

}  // namespace

Progress progress_between(const EnclaveMemory& enclave, const SavedFrame& before,
                          const SavedFrame& after) {
    const u64 rip = before.gprsgx.rip;
    Decoded decoded;
    if (!decode(enclave, rip, decoded)) return {false, fmt::format("no code at {:#x}", rip)};
    const u64 next = rip + decoded.instruction.length;
    const auto category = decoded.instruction.meta.category;
    Progress progress;
    if (is_repeated(decoded.instruction)) {
        progress.one = is_one_iteration(before.gprsgx, after.gprsgx, next);
    } else if (is_branch(category)) {
        const bool falls_through = category == ZYDIS_CATEGORY_COND_BR && after.gprsgx.rip == next;
        progress.one = falls_through || after.gprsgx.rip == target_of(enclave, before, decoded);
    } else {
        progress.one = after.gprsgx.rip == next;
    }
    if (!progress.one)
        progress.why_not = fmt::format("{} at {:#x} does not lead to {:#x}",
                                       ZydisMnemonicGetString(decoded.instruction.mnemonic), rip,
                                       after.gprsgx.rip);
    return progress;
}

bool stands_at_enclu(const EnclaveMemory& enclave, const SavedFrame& saved) {
    Decoded decoded;
    return decode(enclave, saved.gprsgx.rip, decoded) &&
           decoded.instruction.mnemonic == ZYDIS_MNEMONIC_ENCLU;
}

}  // namespace postern::sweep
