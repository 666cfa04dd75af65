// SPDX-License-Identifier: Apache-2.0
// The rows of instructions with a form of their own outside 64-bit mode.
#include <algorithm>

#include "cpu/exec/legacy.h"
#include "cpu/exec/operand.h"
#include "cpu/exec/system.h"
#include "cpu/exec/system/common.h"
#include "cpu/mode.h"

namespace postern::cpu {
namespace {

/// Operand size from the prefixes, operands in memory or in the usual places.
template <Result<> (*exec)(Cpu&, const Insn&)>
Handler sized(const Decoded& d, Insn& i) {
    set_operand_size(d, i);
    return ends_block<exec>;
}

/// SDM 2A, "BOUND": signed bounds, lower and upper.
Result<> exec_bound(Cpu& c, const Insn& i) {
    const unsigned size = size_of(i);
    const unsigned unused = 64 - 8 * size;
    const auto is_signed = [&](u64 value) { return static_cast<i64>(value << unused) >> unused; };
    const Gva at = linear_address(c, i);
    const i64 lower = is_signed(TRY(load(c, at, size)));
    const i64 upper = is_signed(TRY(load(c, at + size, size)));
    const i64 index = is_signed(c.gpr[i.dst]);
    if (index < lower || index > upper) return raise(c, Vector::bound_range);
    return Done{};
}
Handler build_bound(const Decoded& d, Insn& i) {
    set_operand_size(d, i);
    i.dst = register_row(d.operand[0].reg.value);
    return inside_block<exec_bound>;
}

/// SDM 2A, "ARPL".
Result<> exec_arpl(Cpu& c, const Insn& i) {
    const u64 value = TRY(read_for_write(c, i, i.dst));
    const u64 wanted = c.gpr[i.src] & 3;
    const bool adjusts = (value & 3) < wanted;
    if (adjusts) TRY(write_operand(c, i, i.dst, (value & ~u64{3}) | wanted));
    set_zf(c, adjusts);
    return Done{};
}
Handler build_arpl(const Decoded& d, Insn& i) {
    i.form = static_cast<u8>((i.form & ~form_size_mask) | 2);
    if (d.is_register(0)) i.dst = register_row(d.operand[0].reg.value);
    i.src = register_row(d.operand[1].reg.value);
    return inside_block<exec_arpl>;
}

u8 loaded_register(ZydisMnemonic mnemonic) {
    switch (mnemonic) {
        case ZYDIS_MNEMONIC_LDS: return ds;
        case ZYDIS_MNEMONIC_LES: return es;
        case ZYDIS_MNEMONIC_LFS: return fs;
        case ZYDIS_MNEMONIC_LGS: return gs;
        default: return ss;
    }
}
Handler build_far_load(const Decoded& d, Insn& i) {
    set_operand_size(d, i);
    i.dst = register_row(d.operand[0].reg.value);
    i.src = loaded_register(d.instruction.mnemonic);
    return ends_block<exec_lss_lfs_lgs>;
}

/// Intel's processors have them in 64-bit mode only. SDM 2B, "SYSCALL", "SYSRET".
Result<> exec_legacy_undefined(Cpu& c, const Insn&) { return invalid_opcode(c); }

using enum LegacyEnd;

// clang-format off
constexpr LegacyRow rows[] = {   // NOLINT: as in decode/instruction_table.cpp
    // Decimal arithmetic, and what else exists here only
    {ZYDIS_MNEMONIC_AAA, build_legacy_decimal, no, false},
    {ZYDIS_MNEMONIC_AAD, build_legacy_decimal, no, false},
    {ZYDIS_MNEMONIC_AAM, build_legacy_decimal, no, false},
    {ZYDIS_MNEMONIC_AAS, build_legacy_decimal, no, false},
    {ZYDIS_MNEMONIC_DAA, build_legacy_decimal, no, false},
    {ZYDIS_MNEMONIC_DAS, build_legacy_decimal, no, false},
    {ZYDIS_MNEMONIC_SALC, build_legacy_decimal, no, false},
    {ZYDIS_MNEMONIC_ARPL, build_arpl, no, true},
    {ZYDIS_MNEMONIC_BOUND, build_bound, no, true},
    {ZYDIS_MNEMONIC_INTO, sized<exec_into>, yes, false},
    // Branches
    {ZYDIS_MNEMONIC_CALL, build_legacy_call, yes, true},
    {ZYDIS_MNEMONIC_JMP, build_legacy_jmp, yes, true},
    {ZYDIS_MNEMONIC_RET, build_legacy_ret, yes, false},
    {ZYDIS_MNEMONIC_JB, build_legacy_jcc, yes, false},
    {ZYDIS_MNEMONIC_JBE, build_legacy_jcc, yes, false},
    {ZYDIS_MNEMONIC_JL, build_legacy_jcc, yes, false},
    {ZYDIS_MNEMONIC_JLE, build_legacy_jcc, yes, false},
    {ZYDIS_MNEMONIC_JNB, build_legacy_jcc, yes, false},
    {ZYDIS_MNEMONIC_JNBE, build_legacy_jcc, yes, false},
    {ZYDIS_MNEMONIC_JNL, build_legacy_jcc, yes, false},
    {ZYDIS_MNEMONIC_JNLE, build_legacy_jcc, yes, false},
    {ZYDIS_MNEMONIC_JNO, build_legacy_jcc, yes, false},
    {ZYDIS_MNEMONIC_JNP, build_legacy_jcc, yes, false},
    {ZYDIS_MNEMONIC_JNS, build_legacy_jcc, yes, false},
    {ZYDIS_MNEMONIC_JNZ, build_legacy_jcc, yes, false},
    {ZYDIS_MNEMONIC_JO, build_legacy_jcc, yes, false},
    {ZYDIS_MNEMONIC_JP, build_legacy_jcc, yes, false},
    {ZYDIS_MNEMONIC_JS, build_legacy_jcc, yes, false},
    {ZYDIS_MNEMONIC_JZ, build_legacy_jcc, yes, false},
    {ZYDIS_MNEMONIC_JCXZ, build_legacy_loop, yes, false},
    {ZYDIS_MNEMONIC_JECXZ, build_legacy_loop, yes, false},
    {ZYDIS_MNEMONIC_LOOP, build_legacy_loop, yes, false},
    {ZYDIS_MNEMONIC_LOOPE, build_legacy_loop, yes, false},
    {ZYDIS_MNEMONIC_LOOPNE, build_legacy_loop, yes, false},
    // Stack
    {ZYDIS_MNEMONIC_ENTER, build_legacy_stack, no, false},
    {ZYDIS_MNEMONIC_LEAVE, build_legacy_stack, no, false},
    {ZYDIS_MNEMONIC_POPA, build_legacy_stack, no, false},
    {ZYDIS_MNEMONIC_POPAD, build_legacy_stack, no, false},
    {ZYDIS_MNEMONIC_PUSHA, build_legacy_stack, no, false},
    {ZYDIS_MNEMONIC_PUSHAD, build_legacy_stack, no, false},
    {ZYDIS_MNEMONIC_POP, build_legacy_pop, if_segment_register, true},
    {ZYDIS_MNEMONIC_PUSH, build_legacy_push, if_segment_register, true},
    {ZYDIS_MNEMONIC_POPF, sized<exec_popf>, yes, false},
    {ZYDIS_MNEMONIC_POPFD, sized<exec_popf>, yes, false},
    {ZYDIS_MNEMONIC_PUSHF, sized<exec_pushf>, yes, false},
    {ZYDIS_MNEMONIC_PUSHFD, sized<exec_pushf>, yes, false},
    // Strings
    {ZYDIS_MNEMONIC_CMPSB, build_legacy_string, if_repeated, false},
    {ZYDIS_MNEMONIC_CMPSD, build_legacy_string, if_repeated, false},
    {ZYDIS_MNEMONIC_CMPSW, build_legacy_string, if_repeated, false},
    {ZYDIS_MNEMONIC_LODSB, build_legacy_string, if_repeated, false},
    {ZYDIS_MNEMONIC_LODSD, build_legacy_string, if_repeated, false},
    {ZYDIS_MNEMONIC_LODSW, build_legacy_string, if_repeated, false},
    {ZYDIS_MNEMONIC_MOVSB, build_legacy_string, if_repeated, false},
    {ZYDIS_MNEMONIC_MOVSD, build_legacy_string, if_repeated, false},
    {ZYDIS_MNEMONIC_MOVSW, build_legacy_string, if_repeated, false},
    {ZYDIS_MNEMONIC_SCASB, build_legacy_string, if_repeated, false},
    {ZYDIS_MNEMONIC_SCASD, build_legacy_string, if_repeated, false},
    {ZYDIS_MNEMONIC_SCASW, build_legacy_string, if_repeated, false},
    {ZYDIS_MNEMONIC_STOSB, build_legacy_string, if_repeated, false},
    {ZYDIS_MNEMONIC_STOSD, build_legacy_string, if_repeated, false},
    {ZYDIS_MNEMONIC_STOSW, build_legacy_string, if_repeated, false},
    {ZYDIS_MNEMONIC_XLAT, build_legacy_xlat, no, false},
    {ZYDIS_MNEMONIC_INSB, build_legacy_port_string, yes, false},
    {ZYDIS_MNEMONIC_INSD, build_legacy_port_string, yes, false},
    {ZYDIS_MNEMONIC_INSW, build_legacy_port_string, yes, false},
    {ZYDIS_MNEMONIC_OUTSB, build_legacy_port_string, yes, false},
    {ZYDIS_MNEMONIC_OUTSD, build_legacy_port_string, yes, false},
    {ZYDIS_MNEMONIC_OUTSW, build_legacy_port_string, yes, false},
    {ZYDIS_MNEMONIC_MONITOR, build_legacy_monitor, yes, false},
    // Segments and tables
    {ZYDIS_MNEMONIC_LDS, build_far_load, yes, true},
    {ZYDIS_MNEMONIC_LES, build_far_load, yes, true},
    {ZYDIS_MNEMONIC_LFS, build_far_load, yes, true},
    {ZYDIS_MNEMONIC_LGS, build_far_load, yes, true},
    {ZYDIS_MNEMONIC_LSS, build_far_load, yes, true},
    {ZYDIS_MNEMONIC_LGDT, sized<exec_lgdt>, yes, true},
    {ZYDIS_MNEMONIC_LIDT, sized<exec_lidt>, yes, true},
    {ZYDIS_MNEMONIC_SGDT, sized<exec_sgdt>, yes, true},
    {ZYDIS_MNEMONIC_SIDT, sized<exec_sidt>, yes, true},
    // Not here
    {ZYDIS_MNEMONIC_SYSCALL, sized<exec_legacy_undefined>, yes, false},
    {ZYDIS_MNEMONIC_SYSRET, sized<exec_legacy_undefined>, yes, false},
};
// clang-format on

/// MOVSD and CMPSD name an SSE2 instruction, too.
bool is_string_row(const LegacyRow& row) { return row.build == build_legacy_string; }

}  // namespace

const LegacyRow* find_legacy_row(const Decoded& d) {
    const auto* row = std::ranges::find(rows, d.instruction.mnemonic, &LegacyRow::mnemonic);
    if (row == std::ranges::end(rows)) return nullptr;
    if (is_string_row(*row) && d.instruction.meta.category != ZYDIS_CATEGORY_STRINGOP)
        return nullptr;
    return row;
}

Handler build_legacy(const Decoded& d, Insn& i) {
    const LegacyRow* row = find_legacy_row(d);
    return row != nullptr ? row->build(d, i) : nullptr;
}

bool ends_legacy_block(const Decoded& d, const Insn& i) {
    const LegacyRow* row = find_legacy_row(d);
    switch (row->end) {
        case no: return false;
        case yes: return true;
        case if_repeated: return (i.form & (form_rep | form_repne)) != 0;
        case if_segment_register:
            return d.is_register(0) &&
                   ZydisRegisterGetClass(d.operand[0].reg.value) == ZYDIS_REGCLASS_SEGMENT;
    }
    return true;
}

bool is_masked_move(const Decoded& d) {
    return d.instruction.mnemonic == ZYDIS_MNEMONIC_MASKMOVDQU ||
           d.instruction.mnemonic == ZYDIS_MNEMONIC_MASKMOVQ ||
           d.instruction.mnemonic == ZYDIS_MNEMONIC_VMASKMOVDQU;
}

}  // namespace postern::cpu
