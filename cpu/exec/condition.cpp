// SPDX-License-Identifier: Apache-2.0
// SETcc and CMOVcc.
#include "cpu/exec/condition.h"

#include "cpu/exec/build.h"
#include "cpu/exec/operand.h"

namespace postern::cpu {
namespace {

struct ConditionRow {
    Condition condition;
    ZydisMnemonic jump, set, move;
};

constexpr std::array rows{
    ConditionRow{Condition::o, ZYDIS_MNEMONIC_JO, ZYDIS_MNEMONIC_SETO, ZYDIS_MNEMONIC_CMOVO},
    ConditionRow{Condition::no, ZYDIS_MNEMONIC_JNO, ZYDIS_MNEMONIC_SETNO, ZYDIS_MNEMONIC_CMOVNO},
    ConditionRow{Condition::b, ZYDIS_MNEMONIC_JB, ZYDIS_MNEMONIC_SETB, ZYDIS_MNEMONIC_CMOVB},
    ConditionRow{Condition::nb, ZYDIS_MNEMONIC_JNB, ZYDIS_MNEMONIC_SETNB, ZYDIS_MNEMONIC_CMOVNB},
    ConditionRow{Condition::z, ZYDIS_MNEMONIC_JZ, ZYDIS_MNEMONIC_SETZ, ZYDIS_MNEMONIC_CMOVZ},
    ConditionRow{Condition::nz, ZYDIS_MNEMONIC_JNZ, ZYDIS_MNEMONIC_SETNZ, ZYDIS_MNEMONIC_CMOVNZ},
    ConditionRow{Condition::be, ZYDIS_MNEMONIC_JBE, ZYDIS_MNEMONIC_SETBE, ZYDIS_MNEMONIC_CMOVBE},
    ConditionRow{Condition::nbe, ZYDIS_MNEMONIC_JNBE, ZYDIS_MNEMONIC_SETNBE,
                 ZYDIS_MNEMONIC_CMOVNBE},
    ConditionRow{Condition::s, ZYDIS_MNEMONIC_JS, ZYDIS_MNEMONIC_SETS, ZYDIS_MNEMONIC_CMOVS},
    ConditionRow{Condition::ns, ZYDIS_MNEMONIC_JNS, ZYDIS_MNEMONIC_SETNS, ZYDIS_MNEMONIC_CMOVNS},
    ConditionRow{Condition::p, ZYDIS_MNEMONIC_JP, ZYDIS_MNEMONIC_SETP, ZYDIS_MNEMONIC_CMOVP},
    ConditionRow{Condition::np, ZYDIS_MNEMONIC_JNP, ZYDIS_MNEMONIC_SETNP, ZYDIS_MNEMONIC_CMOVNP},
    ConditionRow{Condition::l, ZYDIS_MNEMONIC_JL, ZYDIS_MNEMONIC_SETL, ZYDIS_MNEMONIC_CMOVL},
    ConditionRow{Condition::nl, ZYDIS_MNEMONIC_JNL, ZYDIS_MNEMONIC_SETNL, ZYDIS_MNEMONIC_CMOVNL},
    ConditionRow{Condition::le, ZYDIS_MNEMONIC_JLE, ZYDIS_MNEMONIC_SETLE, ZYDIS_MNEMONIC_CMOVLE},
    ConditionRow{Condition::nle, ZYDIS_MNEMONIC_JNLE, ZYDIS_MNEMONIC_SETNLE,
                 ZYDIS_MNEMONIC_CMOVNLE},
};
static_assert(rows.size() == condition_count);

template <Condition condition>
Step set_reg(Cpu& c, const Insn* i) {
    put<u8>(c, i->dst, holds<condition>(c));
    NEXT(c, i);
}
template <Condition condition>
Result<> set_mem(Cpu& c, const Insn& i) {
    return store(c, linear_address(c, i), 1, holds<condition>(c));
}

template <Condition condition, class T>
Step move_reg(Cpu& c, const Insn* i) {
    // A 32-bit destination is zero-extended even if nothing moves.
    put<T>(c, i->dst, holds<condition>(c) ? get<T>(c, i->src) : get<T>(c, i->dst));
    NEXT(c, i);
}

/// The load is made, and may fault, whether or not the condition holds. SDM 2A, "CMOVcc".
template <Condition condition, class T>
Result<> move_mem(Cpu& c, const Insn& i) {
    const u64 value = TRY(load(c, linear_address(c, i), sizeof(T)));
    put<T>(c, i.dst, holds<condition>(c) ? static_cast<T>(value) : get<T>(c, i.dst));
    return Done{};
}

}  // namespace

Condition condition_of(ZydisMnemonic mnemonic) {
    for (const ConditionRow& row : rows)
        if (row.jump == mnemonic || row.set == mnemonic || row.move == mnemonic)
            return row.condition;
    return Condition::o;
}

Handler build_setcc(const Decoded& d, Insn& i, BlockCache&) {
    if (d.is_register(0)) i.dst = register_row(d.operand[0].reg.value);
    return by_condition(condition_of(d.instruction.mnemonic),
                        [&]<Condition condition>() -> Handler {
                            return d.is_register(0) ? Handler{set_reg<condition>}
                                                    : Handler{inside_block<set_mem<condition>>};
                        });
}

Handler build_cmovcc(const Decoded& d, Insn& i, BlockCache&) {
    i.dst = register_row(d.operand[0].reg.value);
    if (d.is_register(1)) i.src = register_row(d.operand[1].reg.value);
    return by_condition(
        condition_of(d.instruction.mnemonic), [&]<Condition condition>() -> Handler {
            return by_size(d.size(0), [&](auto t) -> Handler {
                using T = decltype(t);
                if constexpr (sizeof(T) == 1) return nullptr;
                return d.is_register(1) ? Handler{move_reg<condition, T>}
                                        : Handler{inside_block<move_mem<condition, T>>};
            });
        });
}

}  // namespace postern::cpu
