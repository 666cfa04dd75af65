// SPDX-License-Identifier: Apache-2.0
// The run loop: at each boundary events, then blocks until something asks for the next boundary.
#include "cpu/run.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "arch/msr.h"
#include "cpu/debugger.h"
#include "cpu/decode/decoder.h"
#include "cpu/event/event.h"
#include "cpu/exec/follow.h"
#include "cpu/mmu/access.h"
#include "cpu/mode.h"
#include "cpu/reset.h"
#include "cpu/sgx/interruption.h"
#include "cpu/simd/host_unit.h"

namespace postern::cpu {
namespace {

/// No slice is longer, so that a request to leave the loop is seen soon. Slices are invisible:
/// they end between instructions and nothing happens at their end.
constexpr u64 longest_slice = 1'000'000;

/// Time until the next boundary at which events may differ, in instructions.
void set_slice(Cpu& c, u64 until) {
    const u64 start = now(c);
    const u64 longest = c.enclave.active
                            ? std::min(longest_slice, sgx::instructions_to_interruption(c))
                            : longest_slice;
    const u64 limit = start + (must_step(c) ? 1 : longest);
    const u64 end = std::max(std::min({until, next_event(c), limit}), start + 1);
    c.horizon = end;
    c.budget = static_cast<i64>(end - start);
}

/// Runs a block from its entry, and whatever it leads to by itself.
Step run_from(Cpu& c, const Insn* i) {
    c.gpr[row_block] = c.rip;
#if POSTERN_LOOP
    Step step = i->run(c, i);
    while (step == Step::next) {
        ++i;
        step = i->run(c, i);
    }
    return step;
#else
    return i->run(c, i);
#endif
}

/// Puts what was found where the jump that asked for it will look next time. Blocks of one
/// instruction and those that run into a second page are always found by the loop.
void remember_way(Cpu& c, const Block& block) {
    Link* link = std::exchange(c.unresolved, nullptr);
    if ((block.mode & mode_single) != 0 || block.second_page != nullptr) return;
    if (c.code_page == no_code_page || c.system->engine.unchained || records_branches(c)) return;
    const u64 page = reinterpret_cast<u64>(c.code_host);
    if (link != nullptr) *link = {block.entry, c.code_epoch, page};
    c.blocks->jumps[BlockCache::jump_slot(c.rip)] = {c.rip, c.mode_stamp, block.entry, page};
}

/// A block of 64-bit code that has been here before, without a search. It fits into the slice.
const Insn* known_block(Cpu& c, u32 mode) {
    if ((mode & (mode_single | mode_legacy)) != 0 || c.system->engine.unchained) return nullptr;
    const JumpTarget& t = c.blocks->jumps[BlockCache::jump_slot(c.rip)];
    if (t.linear != c.rip || t.stamp != c.mode_stamp || t.entry->remaining > c.budget)
        return nullptr;
    if (!fetches_from(c, c.rip, t.page)) return nullptr;
    Link* link = std::exchange(c.unresolved, nullptr);
    if (link != nullptr) *link = {t.entry, c.code_epoch, t.page};
    return t.entry;
}

/// From one boundary to the next. `following`: what follows an instruction that ran alone.
Step run_slice(Cpu& c, u64& following) {
    select_tlb(c);
    const bool step_one = must_step(c);
    while (c.budget > 0) {
        const u64 epoch = c.code_epoch;
        const u32 mode = block_mode(c) | (step_one ? u32{mode_single} : 0);
        c.mode_stamp = c.code_epoch << 16 | (mode & ~u32{mode_single});
        if (const Insn* entry = known_block(c, mode)) {
            const Step step = run_from(c, entry);
            if (step != Step::lookup) return step;
            continue;
        }
        Block* block = find_or_decode(c, mode);
        if (block != nullptr && block->count > c.budget)
            block = find_or_decode(c, mode | mode_single);
        if (block == nullptr) return Step::fault;
        // Decoding can drop code (a moved page), and with it the link that asked.
        if (c.code_epoch != epoch) c.unresolved = nullptr;
        c.mode_stamp = c.code_epoch << 16 | (mode & ~u32{mode_single});
        remember_way(c, *block);
        const BlockStart start{now(c), code_linear(c), epoch};
        following = c.rip + block->bytes;
        const Step step = run_from(c, block->entry);
        if (records_branches(c)) record_block(c, *block, start, step);
        if (step != Step::lookup) return step;
    }
    return Step::stop;
}

/// What the event code says in the loop's terms; `go_on` if the loop does.
bool must_return(const Cpu& c, Delivery delivery, RunOutcome& outcome) {
    switch (delivery) {
        case Delivery::nothing:
        case Delivery::delivered: return false;
        case Delivery::vm_exit: outcome = RunOutcome::vm_exit; return c.vmx.hosted;
        case Delivery::shutdown: outcome = RunOutcome::shutdown; return true;
        case Delivery::unimplemented: outcome = RunOutcome::unimplemented; return true;
        case Delivery::breakpoint: outcome = RunOutcome::breakpoint; return true;
    }
    return false;
}

/// SDM 3B, "Single-Stepping on Branches": with IA32_DEBUGCTL.BTF only a taken branch traps.
bool traps_on_step(const Cpu& c) {
    return c.flags.has(Rflag::tf) && !DebugctlWord::from_raw(c.msr.debugctl).has(Debugctl::btf);
}
bool traps_on_branch(const Cpu& c) {
    return c.flags.has(Rflag::tf) && DebugctlWord::from_raw(c.msr.debugctl).has(Debugctl::btf);
}

/// HLT: time passes to the next event without instructions. True: there is none before `until`.
bool skip_to_event(Cpu& c, u64 until) {
    const u64 at = std::min(until, next_event(c));
    c.horizon = std::max(at, now(c));
    c.budget = 0;
    return now(c) >= until;
}

/// A handler whose first instruction faults retires nothing: time would stand still, and no
/// interrupt, limit or turn would ever end that. From the thousandth fault in a row on, each counts
/// as an instruction. One that fails has begun before the slice's end, so none is overrun.
void count_fault(Cpu& c) {
    constexpr u64 calm = 1000;
    EventState& e = c.event;
    e.faults_in_a_row = e.latest_fault == now(c) ? e.faults_in_a_row + 1 : 0;
    if (e.faults_in_a_row >= calm) ++c.horizon;
    e.latest_fault = now(c);
}

RunOutcome loop(Cpu& c, u64 until) {
    RunOutcome outcome = RunOutcome::time;
    for (;;) {
        c.recheck = false;
        const Delivery delivery = poll(c);
        debugger_boundary(c, delivery != Delivery::nothing);
        if (must_return(c, delivery, outcome)) return outcome;
        if (c.system->bus != nullptr && c.system->bus->stop_requested())
            return RunOutcome::stop_requested;
        if (now(c) >= until || c.interrupt_run) return RunOutcome::time;
        if (c.turn_over && c.system->idle_returns) return RunOutcome::time;
        // The boundary before a handler's first instruction is one like others.
        if (delivery == Delivery::delivered) continue;
        if (c.event.activity != ActivityState::active) {
            if (c.system->idle_returns) return RunOutcome::halted;
            if (skip_to_event(c, until)) return RunOutcome::halted;
            continue;
        }
        c.blocks->collect(c);
        set_slice(c, until);
        const bool step_one = must_step(c);
        const bool on_step = traps_on_step(c), on_branch = traps_on_branch(c);
        const InterruptibilityState blocking = c.event.blocking;
        const bool in_guest = c.vmx.non_root, in_enclave = c.enclave.active;
        const u64 began = now(c);
        c.event.repeating = false;
        u64 following = 0;
        const Step step = run_slice(c, following);
        c.unresolved = nullptr;
        // What enters or leaves an enclave ends the slice.
        if (in_enclave) sgx::count_retired(c, now(c) - began);
        const bool watched = debugger_met_watch(c, step != Step::fault);
        if (step == Step::fault) {
            if (must_return(c, take_pending(c), outcome)) return outcome;
            count_fault(c);
        } else if (step_one && c.vmx.non_root == in_guest) {
            // After a VM entry blocking and traps are those that it loaded.
            const bool branched = c.rip != following && !c.event.repeating;
            after_step(c, on_step || (on_branch && branched), blocking);
        }
        if (watched) return RunOutcome::breakpoint;
    }
}

}  // namespace

RunOutcome run(Cpu& c, u64 until) {
    enter_host_unit(c);
    const RunOutcome outcome = loop(c, until);
    // Whatever is left of a slice is not time: the horizon is now.
    c.horizon = now(c);
    c.budget = 0;
    leave_host_unit(c);
    return outcome;
}

void reset(Cpu& c, System& system, u32 number) {
    BlockCache* blocks = c.blocks;
    InterruptController* interrupts = c.interrupts;
    const u64 code_epoch = c.code_epoch;
    const ExitCounts exit_counts = c.exit_counts;
    std::construct_at(&c);
    c.exit_counts = exit_counts;
    c.blocks = blocks != nullptr ? blocks : new BlockCache;
    c.interrupts = interrupts;
    c.system = &system;
    c.number = number;
    // Never one that the jumps of a cache in use know.
    c.code_epoch = code_epoch + 1;
    reset_tlbs(c);
    c.blocks->drop_all(c);
    reset_registers(c);
    flush_translations(c);
}

void destroy(Cpu& c) {
    delete c.blocks;
    c.blocks = nullptr;
}

}  // namespace postern::cpu
