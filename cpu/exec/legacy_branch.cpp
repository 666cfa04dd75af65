// SPDX-License-Identifier: Apache-2.0
// Near branches outside 64-bit mode: targets of 16 or 32 bits that must lie within CS's limit. The
// run loop finds where they lead.
#include "cpu/event/event.h"
#include "cpu/exec/condition.h"
#include "cpu/exec/legacy.h"
#include "cpu/exec/operand.h"
#include "cpu/exec/segment_check.h"
#include "cpu/exec/system.h"
#include "cpu/exec/system/common.h"
#include "cpu/flags.h"
#include "cpu/mode.h"

namespace postern::cpu {
namespace {

/// The last instruction of its block; where it goes on is in Cpu::next_rip.
template <Result<> (*exec)(Cpu&, const Insn&)>
Step branches(Cpu& c, const Insn* i) {
    c.rip = address_of(c, i);
    c.next_rip = static_cast<u32>(c.rip + i->length);
    c.budget += i->remaining;
    if (!exec(c, *i)) [[unlikely]] {
        note_exit_length(c, *i);
        return Step::fault;
    }
    c.budget -= 1;
    c.rip = c.next_rip;
    return c.recheck ? Step::stop : Step::lookup;
}

/// With 16-bit operands the target is cut to 16 bits. SDM 2A, "JMP", "Jcc".
Result<u64> check_target(Cpu& c, const Insn& i, u64 target) {
    const u64 cut = target & size_mask(size_of(i));
    if (!in_code_segment(c.segment[cs], cut)) return general_protection(c);
    return cut;
}
Result<> jump(Cpu& c, const Insn& i, u64 target) {
    c.next_rip = TRY(check_target(c, i, target));
    return Done{};
}

u64 relative_target(const Cpu& c, const Insn& i) { return c.next_rip + static_cast<u64>(i.imm); }

Result<> jmp_relative(Cpu& c, const Insn& i) { return jump(c, i, relative_target(c, i)); }
Result<> jmp_indirect(Cpu& c, const Insn& i) { return jump(c, i, TRY(read_operand(c, i, i.src))); }

template <Condition condition>
Result<> jcc(Cpu& c, const Insn& i) {
    if (!holds<condition>(c)) return Done{};
    return jump(c, i, relative_target(c, i));
}

Result<> call(Cpu& c, const Insn& i, u64 wanted) {
    const u64 target = TRY(check_target(c, i, wanted));
    TRY(push_value(c, c.next_rip, size_of(i)));
    c.next_rip = target;
    return Done{};
}
Result<> call_relative(Cpu& c, const Insn& i) { return call(c, i, relative_target(c, i)); }
Result<> call_indirect(Cpu& c, const Insn& i) { return call(c, i, TRY(read_operand(c, i, i.src))); }

Result<> ret(Cpu& c, const Insn& i) {
    const u64 target = TRY(peek_stack(c, size_of(i)));
    TRY(jump(c, i, target));
    release_stack(c, size_of(i) + static_cast<u64>(i.imm));
    return Done{};
}

// LOOP, LOOPE, LOOPNE, JCXZ, JECXZ: the count is CX or ECX by the address's size. SDM 2A.

Result<> jcxz(Cpu& c, const Insn& i) {
    if ((c.gpr[rcx] & address_size_mask(i)) != 0) return Done{};
    return jump(c, i, relative_target(c, i));
}

enum class Until : u8 { count, not_equal, equal };

template <Until until>
Result<> loop(Cpu& c, const Insn& i) {
    const u64 count = (c.gpr[rcx] - 1) & address_size_mask(i);
    bool taken = count != 0;
    if constexpr (until == Until::not_equal) taken = taken && zf(c);
    if constexpr (until == Until::equal) taken = taken && !zf(c);
    if (taken) TRY(jump(c, i, relative_target(c, i)));
    put_sized(c, rcx, i.scale, count);
    return Done{};
}

/// Of the form with an immediate: the distance from the end of the instruction.
bool take_distance(const Decoded& d, Insn& i) {
    set_operand_size(d, i);
    set_address_size(d, i);
    if (d.is_register(0)) i.src = register_row(d.operand[0].reg.value);
    if (!d.is_immediate(0)) return false;
    i.imm = d.operand[0].imm.value.s;
    return true;
}

bool is_far(const Decoded& d) { return d.instruction.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR; }

/// imm: the offset, and the selector above 32 bits, unless they are in memory.
void take_far_pointer(const Decoded& d, Insn& i) {
    set_operand_size(d, i);
    const ZydisDecodedOperandPtr& p = d.operand[0].ptr;
    if (!d.is_memory(0)) i.imm = static_cast<i64>(u64{p.offset} | u64{p.segment} << 32);
}

}  // namespace

Handler build_legacy_jcc(const Decoded& d, Insn& i) {
    take_distance(d, i);
    return by_condition(condition_of(d.instruction.mnemonic),
                        []<Condition condition>() -> Handler { return branches<jcc<condition>>; });
}

Handler build_legacy_jmp(const Decoded& d, Insn& i) {
    if (is_far(d)) {
        take_far_pointer(d, i);
        return ends_block<exec_far_jump>;
    }
    return take_distance(d, i) ? branches<jmp_relative> : branches<jmp_indirect>;
}

Handler build_legacy_call(const Decoded& d, Insn& i) {
    if (is_far(d)) {
        take_far_pointer(d, i);
        return ends_block<exec_far_call>;
    }
    return take_distance(d, i) ? branches<call_relative> : branches<call_indirect>;
}

Handler build_legacy_ret(const Decoded& d, Insn& i) {
    set_operand_size(d, i);
    i.imm = d.is_immediate(0) ? static_cast<i64>(d.operand[0].imm.value.u & 0xffff) : 0;
    return is_far(d) ? ends_block<exec_far_return> : branches<ret>;
}

Handler build_legacy_loop(const Decoded& d, Insn& i) {
    take_distance(d, i);
    switch (d.instruction.mnemonic) {
        case ZYDIS_MNEMONIC_LOOP: return branches<loop<Until::count>>;
        case ZYDIS_MNEMONIC_LOOPE: return branches<loop<Until::not_equal>>;
        case ZYDIS_MNEMONIC_LOOPNE: return branches<loop<Until::equal>>;
        default: return branches<jcxz>;
    }
}

}  // namespace postern::cpu
