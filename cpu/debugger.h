// SPDX-License-Identifier: Apache-2.0
// What a debugger outside the machine asks of its processors: breakpoints, watched data, the last
// branches. Software sees none of it: no register, no time, no translation depends on it.
//
// A breakpoint costs nothing while code runs: blocks are cut where one may be, and a handler of
// the debugger's stands before that instruction. Watched data is seen as that of DR0 to DR3 is.
#pragma once

#include <array>
#include <vector>

#include "base/address.h"
#include "base/types.h"
#include "cpu/cpu.h"

namespace postern::cpu {

struct Block;

/// Linear addresses [first, first + length).
struct Watch {
    u64 first;
    u64 length;
    bool reads;
    bool writes;
    friend bool operator==(const Watch&, const Watch&) = default;
};

/// Why RunOutcome::breakpoint. Of a watch the first access that met one is kept.
struct DebugHit {
    enum class Kind : u8 { none, breakpoint, watch } kind = Kind::none;
    unsigned processor = 0;
    u64 address = 0;  // of the instruction; of a watch the first byte of the access that is watched
    Watch watch{};
};

/// Control went from the instruction at `from` to `to`, linear addresses. An event's `from` is
/// where it struck.
struct BranchRecord {
    u64 from;
    u64 to;
    u64 time;  // when `to` was about to run
    bool event;
};

/// The last branches of one processor.
struct BranchRing {
    static constexpr unsigned size = 64;
    std::array<BranchRecord, size> record;
    u64 count;     // ever
    u64 expected;  // what comes next if control simply goes on
};

struct Debugger {
    std::vector<u64> breakpoints;  // linear addresses, sorted
    std::vector<Watch> watches;
    DebugHit hit;
    PendingKind interrupted = PendingKind::none;  // of Cpu::pending, which a snapshot has

    /// The breakpoint that a processor stands at and has been told of: its instruction runs.
    struct Pass {
        u64 linear = 0;
        bool valid = false;
    };
    std::array<Pass, processors_most> pass{};

    bool records_branches = false;
    std::array<BranchRing, processors_most> branches{};
};

// Changes, while no processor is inside run(). All need System::debugger; cached code is dropped.

void add_breakpoint(System& system, u64 linear);
void remove_breakpoint(System& system, u64 linear);
void add_watch(System& system, const Watch& watch);
void remove_watch(System& system, const Watch& watch);
/// Without it blocks find each other; with it each goes by the run loop.
void record_branches(System& system, bool on);

// What the decoder asks.

/// A breakpoint may be at `offset` of CS: cached code is shared by all mappings of its page, so
/// whoever is at the same place in a page counts.
bool may_break_at(const Cpu& c, u64 offset);
/// Stands before such an instruction and counts as none.
Step debugger_gate(Cpu& c, const Insn* i);

// What the slow path of memory asks (cpu/event/breakpoint.h).

inline bool has_watches(const Cpu& c) {
    return c.system->debugger != nullptr && !c.system->debugger->watches.empty();
}
/// Some byte of the page is watched: the TLB may hold it, but without tags for data.
bool is_page_watched(const Debugger& d, Gva linear);
inline bool is_watched_by_debugger(const Cpu& c, Gva linear) {
    return has_watches(c) && is_page_watched(*c.system->debugger, linear);
}
void note_access_for_debugger(const Cpu& c, Gva linear, u64 size, bool write);

// What the run loop asks.

inline bool records_branches(const Cpu& c) {
    return c.system->debugger != nullptr && c.system->debugger->records_branches;
}
/// At each boundary, after events: a pass ends when something else is to run.
void debugger_boundary(const Cpu& c, bool event_delivered);
/// At a breakpoint: Cpu::pending is what it was.
void restore_pending(Cpu& c);
/// After a step: true if it retired and met watched data.
bool debugger_met_watch(const Cpu& c, bool retired);
/// How a block began: the time, where, and the code epoch it was found in.
struct BlockStart {
    u64 time;
    u64 linear;
    u64 epoch;
};
/// `block` has run; `step` is its outcome.
void record_block(const Cpu& c, const Block& block, const BlockStart& start, Step step);

}  // namespace postern::cpu
