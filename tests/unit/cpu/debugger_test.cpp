// SPDX-License-Identifier: Apache-2.0
// The debugger's breakpoints, watches and branches, and that the software sees nothing of them.
#include "cpu/debugger.h"

#include <gtest/gtest.h>

#include "cpu/mmu/access.h"
#include "support/guest_code.h"

namespace postern::cpu {
namespace {

using Code = std::vector<u8>;

constexpr u64 here = guest_at::code;
constexpr u64 alias = 0x50'0000;
constexpr u64 long_enough = 1'000'000;

/// Three turns of a loop that counts in EAX and stores to data.
constexpr u64 loop_start = here + 12, loop_inc = here + 12, loop_store = here + 14,
              loop_end = here + 23;
const Code loop_code{
    0x31, 0xc0,                    // xor eax, eax
    0xb9, 0x03, 0,    0,    0,     // mov ecx, 3
    0xbf, 0x00, 0x00, 0x02, 0x00,  // mov edi, data
    0xff, 0xc0,                    // again: inc eax
    0x48, 0x89, 0x07,              // mov [rdi], rax
    0x8b, 0x17,                    // mov edx, [rdi]
    0xff, 0xc9,                    // dec ecx
    0x75, 0xf5,                    // jnz again
    0xf4,                          // hlt
};

class DebuggerTest : public testing::Test {
protected:
    GuestCode m;
    Cpu& c = m.c;
    Debugger d;

    DebuggerTest() {
        m.system.processors[0] = &c;
        m.system.processor_count = 1;
        m.system.debugger = &d;
        m.write(here, loop_code);
        m.set_plain_state(here);
    }
    GuestStop go(u64 slice = ~u64{0}) { return m.run(long_enough, slice); }
    void expect_breakpoint(u64 rip, u64 eax) {
        const GuestStop stop = go();
        EXPECT_EQ(stop.outcome, RunOutcome::breakpoint);
        EXPECT_EQ(d.hit.kind, DebugHit::Kind::breakpoint);
        EXPECT_EQ(d.hit.address, rip);
        EXPECT_EQ(c.rip, rip);
        EXPECT_EQ(c.gpr[rax], eax);
    }
};

TEST_F(DebuggerTest, BreakpointInABlockStopsBeforeItsInstructionEachTime) {
    add_breakpoint(m.system, loop_store);
    expect_breakpoint(loop_store, 1);
    expect_breakpoint(loop_store, 2);
    expect_breakpoint(loop_store, 3);
    const GuestStop end = go();
    EXPECT_EQ(end.outcome, RunOutcome::halted);
    EXPECT_EQ(end.state.gpr[rax], 3u);
}

TEST_F(DebuggerTest, TimeIsThatOfARunWithoutBreakpoints) {
    const GuestStop plain = go();
    m.set_plain_state(here);
    for (const u64 rip : {loop_inc, loop_store, loop_end}) add_breakpoint(m.system, rip);
    const u64 start = now(c);
    unsigned stops = 0;
    GuestStop stop = go();
    for (; stop.outcome == RunOutcome::breakpoint; stop = go()) ++stops;
    EXPECT_EQ(stops, 7u);
    EXPECT_EQ(now(c) - start, plain.instructions + 1);  // and the HLT
    EXPECT_EQ(stop.state, plain.state);
}

TEST_F(DebuggerTest, BreakpointAtTheVeryFirstInstructionStopsOnce) {
    add_breakpoint(m.system, here);
    const u64 start = now(c);
    const GuestStop stop = go();
    EXPECT_EQ(stop.outcome, RunOutcome::breakpoint);
    EXPECT_EQ(now(c), start);
    EXPECT_EQ(go().outcome, RunOutcome::halted);
}

/// A snapshot has it.
TEST_F(DebuggerTest, WhatIsPendingIsLeftAlone) {
    c.pending.kind = PendingKind::exception;
    c.pending.address = 0x1234;
    add_breakpoint(m.system, loop_inc);
    expect_breakpoint(loop_inc, 0);
    EXPECT_EQ(c.pending.kind, PendingKind::exception);
    EXPECT_EQ(c.pending.address, 0x1234u);
}

TEST_F(DebuggerTest, CodeThatHasRunGetsItsBreakpointAndLosesItAgain) {
    go();
    m.set_plain_state(here);
    add_breakpoint(m.system, loop_inc);
    expect_breakpoint(loop_inc, 0);
    remove_breakpoint(m.system, loop_inc);
    EXPECT_EQ(go().outcome, RunOutcome::halted);
}

TEST_F(DebuggerTest, PassForABreakpointEndsWithIt) {
    add_breakpoint(m.system, loop_inc);
    expect_breakpoint(loop_inc, 0);
    remove_breakpoint(m.system, loop_inc);
    run(c, now(c) + 3);  // inc, the store, the load
    add_breakpoint(m.system, loop_inc);
    expect_breakpoint(loop_inc, 1);
}

TEST_F(DebuggerTest, PassIsForOneArrivalOnly) {
    add_breakpoint(m.system, loop_inc);
    expect_breakpoint(loop_inc, 0);
    c.rip = here;  // somebody jumps: it is met anew
    expect_breakpoint(loop_inc, 0);
}

TEST_F(DebuggerTest, OneOfTwoMappingsOfACodePageHasTheBreakpoint) {
    m.map(alias, here, pte_present | pte_write);
    add_breakpoint(m.system, alias + (loop_inc - here));
    EXPECT_EQ(go().outcome, RunOutcome::halted);
    m.set_plain_state(alias);
    expect_breakpoint(alias + (loop_inc - here), 0);
    m.set_plain_state(here);
    EXPECT_EQ(go().outcome, RunOutcome::halted);
}

TEST_F(DebuggerTest, EndsOfSlicesBeforeABreakpointAreInvisible) {
    for (u64 slice = 1; slice <= 4; ++slice) {
        m.set_plain_state(here);
        add_breakpoint(m.system, loop_end);
        const GuestStop stop = go(slice);
        EXPECT_EQ(stop.outcome, RunOutcome::breakpoint) << slice;
        EXPECT_EQ(c.rip, loop_end) << slice;
        EXPECT_EQ(c.gpr[rax], 3u) << slice;
        EXPECT_EQ(go(slice).outcome, RunOutcome::halted) << slice;
    }
}

TEST_F(DebuggerTest, StringInstructionStopsOnceHoweverOftenItsSliceEnds) {
    // mov ecx, 9; mov edi, data; rep stosb; hlt
    m.write(here, Code{0xb9, 9, 0, 0, 0, 0xbf, 0, 0, 2, 0, 0xf3, 0xaa, 0xf4});
    add_breakpoint(m.system, here + 10);
    EXPECT_EQ(go(2).outcome, RunOutcome::breakpoint);
    EXPECT_EQ(c.gpr[rcx], 9u);
    EXPECT_EQ(go(2).outcome, RunOutcome::halted);
    EXPECT_EQ(c.gpr[rcx], 0u);
}

TEST_F(DebuggerTest, FetchThatFaultsIsNoArrival) {
    m.write(here, Code{0xe9, 0xfb, 0xff, 0x03, 0});  // jmp not_present
    add_breakpoint(m.system, guest_at::not_present);
    const GuestStop stop = go();
    EXPECT_EQ(stop.outcome, RunOutcome::halted);
    ASSERT_TRUE(stop.fault.has_value());
    EXPECT_EQ(stop.fault->vector, Vector::page_fault);
}

TEST_F(DebuggerTest, WatchedStoreStopsAfterItsInstruction) {
    add_watch(m.system, {guest_at::data + 4, 2, false, true});
    for (const u64 eax : {1u, 2u, 3u}) {
        EXPECT_EQ(go().outcome, RunOutcome::breakpoint);
        EXPECT_EQ(d.hit.kind, DebugHit::Kind::watch);
        EXPECT_EQ(d.hit.address, guest_at::data + 4);
        EXPECT_EQ(c.rip, loop_store + 3);
        EXPECT_EQ(c.gpr[rax], eax);
        EXPECT_EQ(m.at<u64>(guest_at::data), eax);
    }
    EXPECT_EQ(go().outcome, RunOutcome::halted);
}

TEST_F(DebuggerTest, WatchesTellLoadsFromStoresAndNeighbours) {
    add_watch(m.system, {guest_at::data, 1, true, false});
    EXPECT_EQ(go().outcome, RunOutcome::breakpoint);
    EXPECT_EQ(c.rip, loop_store + 5);
    remove_watch(m.system, {guest_at::data, 1, true, false});
    add_watch(m.system, {guest_at::data + 8, 8, true, true});
    add_watch(m.system, {guest_at::data + 4, 4, true, false});  // the load has four bytes
    EXPECT_EQ(go().outcome, RunOutcome::halted);
}

TEST_F(DebuggerTest, WatchSeesPagesTheTlbAlreadyHolds) {
    go();
    m.set_plain_state(here);
    add_watch(m.system, {guest_at::data, 8, false, true});
    EXPECT_EQ(go().outcome, RunOutcome::breakpoint);
    EXPECT_EQ(c.gpr[rax], 1u);
}

/// Tables changed without a flush: software sees what the TLB holds, watched or not.
TEST_F(DebuggerTest, WatchedPageStaysTranslatedAsItWas) {
    m.at<u64>(guest_at::data) = 1;
    m.at<u64>(guest_at::spare) = 2;
    ASSERT_EQ(load(c, Gva{guest_at::data}, 8).value(), 1u);
    m.entry(guest_at::data, 1) = guest_at::spare | pte_present | pte_write;
    add_watch(m.system, {guest_at::data, 8, true, true});
    EXPECT_EQ(load(c, Gva{guest_at::data}, 8).value(), 1u);
    EXPECT_EQ(d.hit.kind, DebugHit::Kind::watch);
    remove_watch(m.system, {guest_at::data, 8, true, true});
    EXPECT_EQ(load(c, Gva{guest_at::data}, 8).value(), 1u);
    flush_translations(c);
    EXPECT_EQ(load(c, Gva{guest_at::data}, 8).value(), 2u);
}

TEST_F(DebuggerTest, TimeIsThatOfARunWithoutWatches) {
    const GuestStop plain = go();
    m.set_plain_state(here);
    add_watch(m.system, {guest_at::data, 8, true, true});
    const u64 start = now(c);
    unsigned stops = 0;
    GuestStop stop = go();
    for (; stop.outcome == RunOutcome::breakpoint; stop = go()) ++stops;
    EXPECT_EQ(stops, 6u);
    EXPECT_EQ(now(c) - start, plain.instructions + 1);
    EXPECT_EQ(stop.state, plain.state);
    EXPECT_EQ(stop.state.rflags & 0x100, 0u);
}

TEST_F(DebuggerTest, LastBranchesAreThoseTaken) {
    go();  // links between blocks exist
    m.set_plain_state(here);
    record_branches(m.system, true);
    go();
    const BranchRing& ring = d.branches[0];
    ASSERT_EQ(ring.count, 2u);
    for (unsigned n = 0; n < 2; ++n) {
        EXPECT_EQ(ring.record[n].from, loop_end - 2);
        EXPECT_EQ(ring.record[n].to, loop_start);
        EXPECT_FALSE(ring.record[n].event);
    }
}

TEST_F(DebuggerTest, FaultIsABranchFromWhereItStruck) {
    m.write(here, Code{0x31, 0xc0, 0x0f, 0x0b});  // xor eax, eax; ud2
    record_branches(m.system, true);
    const GuestStop stop = go();
    ASSERT_TRUE(stop.fault.has_value());
    const BranchRing& ring = d.branches[0];
    ASSERT_EQ(ring.count, 1u);
    EXPECT_EQ(ring.record[0].from, here + 2);
    EXPECT_EQ(ring.record[0].to, c.rip - 1);  // the handler's HLT has run
    EXPECT_TRUE(ring.record[0].event);
}

/// CS.base is no multiple of a page, so that no offset of EIP is one of the linear address.
class DebuggerOutside64BitMode : public DebuggerTest {
protected:
    static constexpr u64 base = 0x1230;

    DebuggerOutside64BitMode() {
        // inc eax; inc eax; jmp over an inc eax; hlt
        m.write(here, Code{0x40, 0x40, 0xeb, 0x01, 0x40, 0xf4});
        m.set_mode(GuestMode::protected32);
        c.segment[cs].base = base;
        m.set_plain_state(here);
        c.gpr[rax] = 0;
    }
};

TEST_F(DebuggerOutside64BitMode, BreakpointIsALinearAddress) {
    add_breakpoint(m.system, here + 1);
    EXPECT_EQ(go().outcome, RunOutcome::breakpoint);
    EXPECT_EQ(d.hit.address, here + 1);
    EXPECT_EQ(c.rip, here + 1 - base);
    EXPECT_EQ(c.gpr[rax], 1u);
    EXPECT_EQ(go().outcome, RunOutcome::halted);
    EXPECT_EQ(c.gpr[rax], 2u);
}

TEST_F(DebuggerOutside64BitMode, OffsetInTheSegmentIsNoBreakpoint) {
    add_breakpoint(m.system, here + 1 - base);
    EXPECT_EQ(go().outcome, RunOutcome::halted);
}

TEST_F(DebuggerOutside64BitMode, BreakpointAtTheVeryFirstInstructionStopsOnce) {
    add_breakpoint(m.system, here);
    EXPECT_EQ(go().outcome, RunOutcome::breakpoint);
    EXPECT_EQ(c.gpr[rax], 0u);
    EXPECT_EQ(go().outcome, RunOutcome::halted);
}

TEST_F(DebuggerOutside64BitMode, BranchesAreOfLinearAddresses) {
    record_branches(m.system, true);
    go();
    const BranchRing& ring = d.branches[0];
    ASSERT_EQ(ring.count, 1u);
    EXPECT_EQ(ring.record[0].from, here + 2);
    EXPECT_EQ(ring.record[0].to, here + 5);
    EXPECT_FALSE(ring.record[0].event);
}

}  // namespace
}  // namespace postern::cpu
