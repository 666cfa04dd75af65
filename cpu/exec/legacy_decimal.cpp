// SPDX-License-Identifier: Apache-2.0
// Decimal arithmetic, which 64-bit mode does not have. The flags that the manual leaves undefined
// are in docs/model-defined.md.
#include "cpu/event/event.h"
#include "cpu/exec/fast.h"
#include "cpu/exec/legacy.h"
#include "cpu/flags.h"

namespace postern::cpu {
namespace {

constexpr u64 carry_flag = 1, adjust_flag = 0x10;

u8 al(const Cpu& c) { return get<u8>(c, rax); }
bool low_digit_overflows(const Cpu& c) { return (al(c) & 0x0f) > 9 || af(c); }

/// SF, ZF, PF as of `result`, OF = 0, AF and CF as told.
void set_flags(Cpu& c, u8 result, bool adjust, bool carry) {
    set_logic_flags(c, result);
    const u64 others = materialise(c) & ~(carry_flag | adjust_flag);
    from_image(c, others | (adjust ? adjust_flag : 0) | (carry ? carry_flag : 0));
}

/// SDM 2A, "AAA", "AAS".
template <bool add>
Result<> adjust_ascii(Cpu& c, const Insn&) {
    const bool adjusts = low_digit_overflows(c);
    const u16 ax = get<u16>(c, rax);
    const u16 moved = static_cast<u16>(add ? ax + 0x106 : ax - 0x106);
    put<u16>(c, rax, static_cast<u16>((adjusts ? moved : ax) & 0xff0f));
    set_flags(c, al(c), adjusts, adjusts);
    return Done{};
}

/// SDM 2A, "DAA", "DAS".
template <bool add>
Result<> adjust_decimal(Cpu& c, const Insn&) {
    const u8 old = al(c);
    const bool old_carry = cf(c);
    const bool adjusts = low_digit_overflows(c);
    u8 value = old;
    bool carry = false;
    if (adjusts) {
        value = static_cast<u8>(add ? value + 6 : value - 6);
        carry = old_carry || (add ? old > 0xf9 : old < 6);
    }
    const bool high = old > 0x99 || old_carry;
    if (high) value = static_cast<u8>(add ? value + 0x60 : value - 0x60);
    if (high) carry = true;
    put<u8>(c, rax, value);
    set_flags(c, value, adjusts, carry);
    return Done{};
}

/// SDM 2A, "AAM": the base is the immediate.
Result<> divide_ascii(Cpu& c, const Insn& i) {
    const auto base = static_cast<u8>(i.imm);
    if (base == 0) return raise(c, Vector::divide_error);
    const u8 value = al(c);
    put<u16>(c, rax, static_cast<u16>(value % base | value / base << 8));
    set_flags(c, al(c), false, false);
    return Done{};
}

/// SDM 2A, "AAD".
Result<> multiply_ascii(Cpu& c, const Insn& i) {
    const u16 ax = get<u16>(c, rax);
    put<u16>(c, rax, static_cast<u8>((ax & 0xff) + (ax >> 8) * static_cast<u8>(i.imm)));
    set_flags(c, al(c), false, false);
    return Done{};
}

/// SALC, D6H, which the opcode map leaves empty: AL = CF ? FFH : 0, and no flag changes.
Result<> set_al_on_carry(Cpu& c, const Insn&) {
    put<u8>(c, rax, cf(c) ? 0xff : 0);
    return Done{};
}

}  // namespace

Handler build_legacy_decimal(const Decoded& d, Insn& i) {
    if (d.is_immediate(0)) i.imm = static_cast<i64>(d.operand[0].imm.value.u & 0xff);
    switch (d.instruction.mnemonic) {
        case ZYDIS_MNEMONIC_AAA: return inside_block<adjust_ascii<true>>;
        case ZYDIS_MNEMONIC_AAS: return inside_block<adjust_ascii<false>>;
        case ZYDIS_MNEMONIC_DAA: return inside_block<adjust_decimal<true>>;
        case ZYDIS_MNEMONIC_DAS: return inside_block<adjust_decimal<false>>;
        case ZYDIS_MNEMONIC_AAM: return inside_block<divide_ascii>;
        case ZYDIS_MNEMONIC_AAD: return inside_block<multiply_ascii>;
        default: return inside_block<set_al_on_carry>;
    }
}

}  // namespace postern::cpu
