// SPDX-License-Identifier: Apache-2.0
// What every handler is made of: registers, the TLB compare, the ways out of a handler.
//
// A hot handler is a template with a fast and a slow form. The fast form touches memory through
// the TLB compare only; on a miss it tail-calls miss(), which either fills the TLB and runs the
// same instruction again or runs the slow form, whose accesses are function calls that may cross
// pages, reach devices and fail. Nothing is committed before the last thing that can miss.
#pragma once

#include <cstring>

#include "cpu/exec/address.h"
#include "cpu/mmu/access.h"

namespace postern::cpu {

// Registers. 8-bit operands are byte offsets into gpr (AH is offset 1), the others rows.

template <class T>
inline T get(const Cpu& c, u8 which) {
    if constexpr (sizeof(T) == 1) {
        return reinterpret_cast<const u8*>(c.gpr.data())[which];
    } else {
        return static_cast<T>(c.gpr[which]);
    }
}

/// A 32-bit result clears the upper half; 8- and 16-bit results leave the rest alone.
template <class T>
inline void put(Cpu& c, u8 which, T value) {
    if constexpr (sizeof(T) == 1) {
        reinterpret_cast<u8*>(c.gpr.data())[which] = value;
    } else if constexpr (sizeof(T) == 2) {
        std::memcpy(&c.gpr[which], &value, sizeof value);
    } else {
        c.gpr[which] = value;
    }
}

template <class T>
inline constexpr unsigned width_of = 8 * sizeof(T);

/// The memory operand's linear address; 64-bit address size only (others take the slow form).
inline u64 fast_linear(const Cpu& c, const Insn* i) {
    return c.gpr[i->base] + (c.gpr[i->index] << i->scale) + c.gpr[i->segment] +
           static_cast<u64>(i64{i->disp});
}

/// One compare: page, permission, context and page crossing. Null: miss.
template <class T, u64 TlbEntry::* tag>
inline u8* hit(Cpu& c, u64 linear) {
    const TlbEntry& e = c.tlb->entry[Tlb::slot_of(linear)];
    const u64 offset = linear - e.*tag;
    return offset <= page_size - sizeof(T) ? reinterpret_cast<u8*>(e.page + offset) : nullptr;
}

template <class T>
inline T read_host(const u8* p) {
    T value;
    std::memcpy(&value, p, sizeof value);
    return value;
}
template <class T>
inline void write_host(u8* p, T value) {
    std::memcpy(p, &value, sizeof value);
}

// Ways out.

/// The address of instruction `i`, and of the one after it.
inline u64 address_of(const Cpu& c, const Insn* i) { return c.gpr[row_block] + i->offset; }
inline u64 address_after(const Cpu& c, const Insn* i) { return address_of(c, i) + i->length; }

/// An address based on RSP or RBP is one in the stack segment: not canonical, it is #SS(0) and not
/// #GP(0). SDM 3A, "Interrupt 12: Stack Fault Exception (#SS)". Nothing has been committed, so the
/// address is still what it was.
[[gnu::cold, gnu::noinline]] void blame_stack_operand(Cpu& c, const Insn& i);
/// The same for an operand that lies elsewhere than its address says: a bit string.
[[gnu::cold, gnu::noinline]] void blame_stack_operand(Cpu& c, const Insn& i, u64 at);
/// Likewise for an access at `at` that a stack instruction makes by itself.
[[gnu::cold, gnu::noinline]] Failed blame_stack(Cpu& c, u64 at);

/// A VM exit that an access of `i` causes reports its length where hypervisors rely on it, though
/// the manual does not promise it (docs/open-points.md).
[[gnu::cold, gnu::noinline]] void note_exit_length(Cpu& c, const Insn& i);

/// `i` did not retire: Cpu::pending says why.
[[gnu::cold]] inline Step fault_at(Cpu& c, const Insn* i) {
    blame_stack_operand(c, *i);
    note_exit_length(c, *i);
    c.rip = address_of(c, i);
    c.budget += i->remaining;
    return Step::fault;
}

/// `i` retired; the rest of its block is not run.
inline Step leave_after(Cpu& c, const Insn* i, Step how) {
    c.rip = address_after(c, i);
    c.budget += i->remaining - 1;
    return how;
}

/// After a slow form: if its store dropped cached code, the rest of the block may be stale; if it
/// reached a device, an interrupt may have come of it.
#define NEXT_AFTER_STORE(c, i, epoch)                                   \
    do {                                                                \
        if ((c).recheck) [[unlikely]]                                   \
            return leave_after((c), (i), ::postern::cpu::Step::stop);   \
        if ((c).code_epoch != (epoch)) [[unlikely]]                     \
            return leave_after((c), (i), ::postern::cpu::Step::lookup); \
        NEXT(c, i);                                                     \
    } while (false)

/// Cold: fill the TLB and run `i` again, or run its slow form.
template <Handler slow, Access access, unsigned size>
[[gnu::noinline, gnu::cold]] Step miss(Cpu& c, const Insn* i) {
    if (fill_tlb(c, Gva{fast_linear(c, i)}, access, size)) TAIL i->run(c, i);
    TAIL slow(c, i);
}

// Slow accesses. Time is exact while one is under way: a device may look at it.

template <class T>
inline Result<u64> slow_load(Cpu& c, const Insn* i, Gva at) {
    c.budget += i->remaining;
    const Result<u64> value = load(c, at, sizeof(T));
    c.budget -= i->remaining;
    return value;
}
template <class T>
inline Result<> slow_store(Cpu& c, const Insn* i, Gva at, T value) {
    c.budget += i->remaining;
    const Result<> done = store(c, at, sizeof(T), value);
    c.budget -= i->remaining;
    return done;
}
/// For read-modify-write: whatever the store could raise is raised before the operation.
template <class T>
inline Result<u64> slow_load_for_store(Cpu& c, const Insn* i, Gva at) {
    if (!probe_write(c, at, sizeof(T))) return Failed{};
    return slow_load<T>(c, i, at);
}

/// An instruction off the hot path, in the middle of a block: generic accesses, no change of
/// RIP, mode or events.
template <Result<> (*exec)(Cpu&, const Insn&)>
Step inside_block(Cpu& c, const Insn* i) {
    const u64 epoch = c.code_epoch;
    c.budget += i->remaining;
    const Result<> done = exec(c, *i);
    c.budget -= i->remaining;
    if (!done) [[unlikely]]
        return fault_at(c, i);
    NEXT_AFTER_STORE(c, i, epoch);
}

/// A system instruction: the last of its block, sees Cpu::rip and may set Cpu::next_rip.
template <Result<> (*exec)(Cpu&, const Insn&)>
Step ends_block(Cpu& c, const Insn* i) {
    c.rip = address_of(c, i);
    c.next_rip = c.rip + i->length;
    c.budget += i->remaining;
    if (!exec(c, *i)) [[unlikely]] {
        blame_stack_operand(c, *i);
        note_exit_length(c, *i);
        return Step::fault;
    }
    c.budget -= 1;
    c.rip = c.next_rip;
    return Step::stop;
}

}  // namespace postern::cpu
