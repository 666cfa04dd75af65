// SPDX-License-Identifier: Apache-2.0
// Near jumps, calls and returns. A direct jump follows the link its block holds once the run loop
// has found the target; an indirect one looks into the jump cache.
#include "cpu/event/event.h"
#include "cpu/exec/build.h"
#include "cpu/exec/condition.h"
#include "cpu/exec/follow.h"
#include "cpu/exec/operand.h"

namespace postern::cpu {
namespace {

Links& links_of(const Insn* i) { return *static_cast<Links*>(const_cast<void*>(i->aux)); }

u64 target_of(const Cpu& c, const Insn* i) {
    return c.gpr[row_block] + static_cast<u64>(i64{i->disp});
}

// Far: the target lies outside the page the block lies in, so the link holds for one context only.

template <bool far>
Step jmp(Cpu& c, const Insn* i) {
    const Insn* n = follow<far>(c, links_of(i).taken, target_of(c, i));
    TAIL n->run(c, n);
}

template <Condition condition, bool far, bool far_next>
Step jcc(Cpu& c, const Insn* i) {
    Links& links = links_of(i);
    if (holds<condition>(c)) {
        const Insn* n = follow<far>(c, links.taken, target_of(c, i));
        TAIL n->run(c, n);
    }
    const Insn* n = follow<far_next>(c, links.not_taken, address_after(c, i));
    TAIL n->run(c, n);
}

[[gnu::cold]] Step push_fault(Cpu& c, const Insn* i, u64 at) {
    (void)blame_stack(c, at);
    return fault_at(c, i);
}

template <bool far>
Step call_slow(Cpu& c, const Insn* i) {
    const u64 at = c.gpr[rsp] - 8;
    if (!slow_store<u64>(c, i, Gva{at}, address_after(c, i))) return push_fault(c, i, at);
    c.gpr[rsp] = at;
    c.rip = target_of(c, i);
    return Step::lookup;
}
/// CALL pushes at RSP - 8, but Insn::disp is the target: miss() must be told the right address.
template <bool far>
[[gnu::noinline, gnu::cold]] Step call_push_miss(Cpu& c, const Insn* i) {
    if (fill_tlb(c, Gva{c.gpr[rsp] - 8}, Access::write, 8)) TAIL i->run(c, i);
    TAIL call_slow<far>(c, i);
}

template <bool far>
Step call(Cpu& c, const Insn* i) {
    const u64 at = c.gpr[rsp] - 8;
    u8* p = hit<u64, &TlbEntry::write>(c, at);
    if (p == nullptr) [[unlikely]]
        TAIL call_push_miss<far>(c, i);
    write_host<u64>(p, address_after(c, i));
    c.gpr[rsp] = at;
    const Insn* n = follow<far>(c, links_of(i).taken, target_of(c, i));
    TAIL n->run(c, n);
}

// Indirect: the target is checked before anything is committed.

[[gnu::noinline, gnu::cold]] Step jump_fault(Cpu& c, const Insn* i) {
    (void)general_protection(c);
    return fault_at(c, i);
}

/// Canonical; what is so with 48 bits is with 57.
bool reachable(const Cpu& c, u64 target) {
    const auto upper = static_cast<u64>(static_cast<i64>(target) >> 47);
    if (upper + 1 <= 1) [[likely]]
        return true;
    return is_canonical(c, target);
}

Step jmp_register(Cpu& c, const Insn* i) {
    const u64 target = c.gpr[i->src];
    if (!reachable(c, target)) [[unlikely]]
        TAIL jump_fault(c, i);
    const Insn* n = follow_indirect(c, target);
    TAIL n->run(c, n);
}

Step jmp_memory_slow(Cpu& c, const Insn* i) {
    const Result<u64> target = slow_load<u64>(c, i, linear_address(c, *i));
    if (!target) return fault_at(c, i);
    if (!is_canonical(c, target.value())) return jump_fault(c, i);
    c.rip = target.value();
    return Step::lookup;
}
Step jmp_memory(Cpu& c, const Insn* i) {
    const u8* p = hit<u64, &TlbEntry::read>(c, fast_linear(c, i));
    if (p == nullptr) [[unlikely]]
        TAIL miss<jmp_memory_slow, Access::read, 8>(c, i);
    const u64 target = read_host<u64>(p);
    if (!reachable(c, target)) [[unlikely]]
        TAIL jump_fault(c, i);
    const Insn* n = follow_indirect(c, target);
    TAIL n->run(c, n);
}

[[gnu::cold]] Step call_indirect_slow(Cpu& c, const Insn* i) {
    u64 target = c.gpr[i->src];
    if (has_memory(*i)) {
        const Result<u64> loaded = slow_load<u64>(c, i, linear_address(c, *i));
        if (!loaded) return fault_at(c, i);
        target = loaded.value();
    }
    if (!is_canonical(c, target)) return jump_fault(c, i);
    const u64 at = c.gpr[rsp] - 8;
    if (!slow_store<u64>(c, i, Gva{at}, address_after(c, i))) return push_fault(c, i, at);
    c.gpr[rsp] = at;
    c.rip = target;
    return Step::lookup;
}
/// Not run again as fast as before: operand and stack may share the one slot of the TLB.
[[gnu::noinline, gnu::cold]] Step call_indirect_push_miss(Cpu& c, const Insn* i) {
    (void)fill_tlb(c, Gva{c.gpr[rsp] - 8}, Access::write, 8);
    TAIL call_indirect_slow(c, i);
}

Step call_register(Cpu& c, const Insn* i) {
    const u64 target = c.gpr[i->src];
    const u64 at = c.gpr[rsp] - 8;
    if (!reachable(c, target)) [[unlikely]]
        TAIL jump_fault(c, i);
    u8* p = hit<u64, &TlbEntry::write>(c, at);
    if (p == nullptr) [[unlikely]]
        TAIL call_indirect_push_miss(c, i);
    write_host<u64>(p, address_after(c, i));
    c.gpr[rsp] = at;
    const Insn* n = follow_indirect(c, target);
    TAIL n->run(c, n);
}

Step call_memory(Cpu& c, const Insn* i) {
    const u8* q = hit<u64, &TlbEntry::read>(c, fast_linear(c, i));
    if (q == nullptr) [[unlikely]]
        TAIL miss<call_indirect_slow, Access::read, 8>(c, i);
    const u64 target = read_host<u64>(q);
    const u64 at = c.gpr[rsp] - 8;
    if (!reachable(c, target)) [[unlikely]]
        TAIL jump_fault(c, i);
    u8* p = hit<u64, &TlbEntry::write>(c, at);
    if (p == nullptr) [[unlikely]]
        TAIL call_indirect_push_miss(c, i);
    write_host<u64>(p, address_after(c, i));
    c.gpr[rsp] = at;
    const Insn* n = follow_indirect(c, target);
    TAIL n->run(c, n);
}

// RET, with imm bytes released beyond the return address.

Step ret_slow(Cpu& c, const Insn* i) {
    const Result<u64> target = slow_load<u64>(c, i, Gva{c.gpr[rsp]});
    if (!target) return fault_at(c, i);
    if (!is_canonical(c, target.value())) return jump_fault(c, i);
    c.gpr[rsp] += 8 + static_cast<u64>(i->imm);
    c.rip = target.value();
    return Step::lookup;
}
Step ret(Cpu& c, const Insn* i) {
    const u8* p = hit<u64, &TlbEntry::read>(c, c.gpr[rsp]);
    if (p == nullptr) [[unlikely]]
        TAIL miss<ret_slow, Access::read, 8>(c, i);
    const u64 target = read_host<u64>(p);
    if (!reachable(c, target)) [[unlikely]]
        TAIL jump_fault(c, i);
    c.gpr[rsp] += 8 + static_cast<u64>(i->imm);
    const Insn* n = follow_indirect(c, target);
    TAIL n->run(c, n);
}

/// LOOP, LOOPE, LOOPNE, JRCXZ (JECXZ with an address-size prefix). SDM 2A.
enum class Count : u8 { loop, loope, loopne, jrcxz };

template <Count kind>
bool count_and_test(Cpu& c, const Insn* i) {
    const bool narrow = (i->form & form_address32) != 0;
    u64 count = narrow ? static_cast<u32>(c.gpr[rcx]) : c.gpr[rcx];
    if constexpr (kind == Count::jrcxz) return count == 0;
    count = narrow ? static_cast<u32>(count - 1) : count - 1;
    c.gpr[rcx] = count;
    if constexpr (kind == Count::loope) return count != 0 && zf(c);
    if constexpr (kind == Count::loopne) return count != 0 && !zf(c);
    return count != 0;
}
template <Count kind>
Step loop(Cpu& c, const Insn* i) {
    Links& links = links_of(i);
    const bool taken = count_and_test<kind>(c, i);
    const Insn* n = taken ? follow<true>(c, links.taken, target_of(c, i))
                          : follow<true>(c, links.not_taken, address_after(c, i));
    TAIL n->run(c, n);
}

bool direct(const Decoded& d, Insn& i, BlockCache& cache) {
    if (!d.is_immediate(0)) return false;
    const i64 disp = d.operand[0].imm.value.s + i.offset + i.length;
    i.disp = static_cast<i32>(disp);
    if (disp != i.disp) return false;  // 2 GiB away, from the block's start: not implemented
    auto* links = cache.allocate<Links>(1);
    *links = {};
    i.aux = links;
    return true;
}

bool is_far(const Decoded& d, const Insn& i) {
    const i64 offset = i64{d.page_offset} + i.disp;
    return offset < 0 || offset >= static_cast<i64>(page_size);
}

void address_stack(Insn& i, i32 disp) {
    i.base = rsp;
    i.index = row_zero;
    i.segment = row_zero;
    i.scale = 0;
    i.disp = disp;
}

}  // namespace

Handler build_jcc(const Decoded& d, Insn& i, BlockCache& cache) {
    if (!direct(d, i, cache)) return nullptr;
    const bool far = is_far(d, i);
    const bool far_next = d.page_offset + u64{i.offset} + i.length >= page_size;
    return by_condition(
        condition_of(d.instruction.mnemonic), [&]<Condition condition>() -> Handler {
            if (far_next)
                return far ? Handler{jcc<condition, true, true>} : jcc<condition, false, true>;
            return far ? Handler{jcc<condition, true, false>} : jcc<condition, false, false>;
        });
}

Handler build_jmp(const Decoded& d, Insn& i, BlockCache& cache) {
    if (d.instruction.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR) return build_far_jump(d, i, cache);
    if (direct(d, i, cache)) return is_far(d, i) ? jmp<true> : jmp<false>;
    if (!d.is_register(0)) return fast_or_slow(i, jmp_memory, jmp_memory_slow);
    i.src = register_row(d.operand[0].reg.value);
    return jmp_register;
}

Handler build_call(const Decoded& d, Insn& i, BlockCache& cache) {
    if (d.instruction.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR) return build_far_call(d, i, cache);
    if (direct(d, i, cache)) return is_far(d, i) ? call<true> : call<false>;
    if (!d.is_register(0)) return fast_or_slow(i, call_memory, call_indirect_slow);
    i.src = register_row(d.operand[0].reg.value);
    return call_register;
}

Handler build_ret(const Decoded& d, Insn& i, BlockCache& cache) {
    if (d.instruction.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
        return build_far_return(d, i, cache);
    i.imm = d.is_immediate(0) ? static_cast<i64>(d.operand[0].imm.value.u) : 0;
    address_stack(i, 0);
    return ret;
}

Handler build_loop(const Decoded& d, Insn& i, BlockCache& cache) {
    if (!direct(d, i, cache)) return nullptr;
    switch (d.instruction.mnemonic) {
        case ZYDIS_MNEMONIC_LOOP: return loop<Count::loop>;
        case ZYDIS_MNEMONIC_LOOPE: return loop<Count::loope>;
        case ZYDIS_MNEMONIC_LOOPNE: return loop<Count::loopne>;
        default: return loop<Count::jrcxz>;
    }
}

}  // namespace postern::cpu
