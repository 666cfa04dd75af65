// SPDX-License-Identifier: Apache-2.0
// Lists of breakpoints and watches, and what is noted when they are met.
#include "cpu/debugger.h"

#include <algorithm>

#include "cpu/decode/block_cache.h"
#include "cpu/exec/fast.h"
#include "cpu/mode.h"

namespace postern::cpu {

namespace {

void drop_code(System& system) {
    for (unsigned n = 0; n < system.processor_count; ++n)
        system.processors[n]->blocks->drop_all(*system.processors[n]);
}

bool overlaps(const Watch& w, u64 at, u64 size) {
    return at - w.first < w.length || w.first - at < size;
}

/// Data tags of what the TLBs hold, after a change of watches.
void mark_tlbs(System& system) {
    for (unsigned n = 0; n < system.processor_count; ++n)
        for_each_tlb(*system.processors[n], [&](Tlb& tlb) {
            for (unsigned k = 0; k < tlb.filled_count; ++k) {
                const unsigned slot = tlb.filled[k];
                TlbInfo& i = tlb.info[slot];
                const bool watched = is_page_watched(*system.debugger, Gva{i.linear});
                if (watched == ((i.flags & tlb_watched) != 0)) continue;
                i.flags ^= tlb_watched;
                tlb.set_tags(slot, false);  // stores find out by themselves
            }
        });
}

void push(BranchRing& ring, const BranchRecord& record) {
    ring.record[ring.count++ % BranchRing::size] = record;
}

const Insn& last_of(const Block& block) {
    const bool gate = block.entry[1].run == debugger_gate;
    return block.entry[block.count + (gate ? 1 : 0)];
}

}  // namespace

void add_breakpoint(System& system, u64 linear) {
    auto& list = system.debugger->breakpoints;
    const auto at = std::ranges::lower_bound(list, linear);
    if (at != list.end() && *at == linear) return;
    list.insert(at, linear);
    drop_code(system);
}

void remove_breakpoint(System& system, u64 linear) {
    Debugger& d = *system.debugger;
    if (std::erase(d.breakpoints, linear) == 0) return;
    for (Debugger::Pass& pass : d.pass)
        if (pass.linear == linear) pass.valid = false;
    drop_code(system);
}

void add_watch(System& system, const Watch& watch) {
    system.debugger->watches.push_back(watch);
    mark_tlbs(system);
}

void remove_watch(System& system, const Watch& watch) {
    auto& list = system.debugger->watches;
    const auto at = std::ranges::find(list, watch);
    if (at == list.end()) return;
    list.erase(at);
    mark_tlbs(system);
}

void record_branches(System& system, bool on) {
    system.debugger->records_branches = on;
    for (unsigned n = 0; n < system.processor_count; ++n)
        system.debugger->branches[n].expected = code_linear(*system.processors[n]);
    drop_code(system);
}

bool may_break_at(const Cpu& c, u64 offset) {
    if (c.system->debugger == nullptr) return false;
    const u64 linear = code_linear(c, offset);
    return std::ranges::any_of(c.system->debugger->breakpoints,
                               [&](u64 b) { return ((b ^ linear) & (page_size - 1)) == 0; });
}

Step debugger_gate(Cpu& c, const Insn* i) {
    Debugger* const d = c.system->debugger;
    const u64 offset = address_of(c, i);
    const u64 linear = code_linear(c, offset);
    if (d == nullptr || !std::ranges::binary_search(d->breakpoints, linear)) NEXT(c, i);
    Debugger::Pass& pass = d->pass[c.number];
    if (pass.valid && pass.linear == linear) {
        pass.valid = false;
        NEXT(c, i);
    }
    pass = {linear, true};
    d->hit = {DebugHit::Kind::breakpoint, c.number, linear, {}};
    d->interrupted = c.pending.kind;
    c.pending.kind = PendingKind::debugger;
    c.rip = offset;
    c.budget += i->remaining;
    return Step::fault;
}

bool is_page_watched(const Debugger& d, Gva linear) {
    return std::ranges::any_of(
        d.watches, [&](const Watch& w) { return overlaps(w, linear.page().raw(), page_size); });
}

void note_access_for_debugger(const Cpu& c, Gva linear, u64 size, bool write) {
    Debugger& d = *c.system->debugger;
    if (d.hit.kind == DebugHit::Kind::watch && d.hit.processor == c.number) return;
    for (const Watch& w : d.watches) {
        if (!(write ? w.writes : w.reads) || !overlaps(w, linear.raw(), size)) continue;
        const u64 address = linear.raw() - w.first < w.length ? linear.raw() : w.first;
        d.hit = {DebugHit::Kind::watch, c.number, address, w};
        return;
    }
}

void debugger_boundary(const Cpu& c, bool event_delivered) {
    Debugger* const d = c.system->debugger;
    if (d == nullptr) return;
    d->hit = {};
    Debugger::Pass& pass = d->pass[c.number];
    // The next iteration of a string instruction that has begun is no arrival.
    if (c.event.repeating && !event_delivered) pass = {code_linear(c), true};
    if (event_delivered || pass.linear != code_linear(c)) pass.valid = false;
}

void restore_pending(Cpu& c) { c.pending.kind = c.system->debugger->interrupted; }

bool debugger_met_watch(const Cpu& c, bool retired) {
    Debugger* const d = c.system->debugger;
    if (d == nullptr || d->hit.kind != DebugHit::Kind::watch) return false;
    if (!retired) d->hit = {};
    return retired;
}

void record_block(const Cpu& c, const Block& block, const BlockStart& start, Step step) {
    BranchRing& ring = c.system->debugger->branches[c.number];
    if (start.linear != ring.expected) push(ring, {ring.expected, start.linear, start.time, true});
    const u64 next = code_linear(c);
    ring.expected = next;
    if (step == Step::fault || now(c) == start.time || c.event.repeating) return;
    const Insn& last = last_of(block);
    const u64 from = start.linear + last.offset;
    const u64 end = from + last.length;
    // A store that dropped code leaves its block in the middle.
    const bool cut_short = c.code_epoch != start.epoch && next > start.linear && next < end;
    if (next != end && !cut_short) push(ring, {from, next, now(c), false});
}

}  // namespace postern::cpu
