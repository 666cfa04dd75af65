// SPDX-License-Identifier: Apache-2.0
// The host's interrupt comes when it was asked for, and stays until it is taken back.
#include "host/ticks.h"

#include <gtest/gtest.h>

namespace postern::host {
namespace {

TEST(HostTicks, NothingComesUntilArmed) {
    HostTicks ticks;
    EXPECT_EQ(ticks.pending_vector(1'000'000), -1);
    EXPECT_EQ(ticks.next_event(), ~u64{0});
}

TEST(HostTicks, TheInterruptIsPendingFromItsTimeOn) {
    HostTicks ticks;
    ticks.arm(500);
    EXPECT_EQ(ticks.next_event(), 500u);
    EXPECT_EQ(ticks.pending_vector(499), -1);
    EXPECT_EQ(ticks.pending_vector(500), 0xef);
    EXPECT_EQ(ticks.pending_vector(600), 0xef);
    ticks.disarm();
    EXPECT_EQ(ticks.pending_vector(600), -1);
}

TEST(HostTicks, OnceTakenItIsGone) {
    HostTicks ticks;
    ticks.arm(500);
    ticks.taken(499);
    EXPECT_EQ(ticks.pending_vector(600), 0xef);
    ticks.taken(600);
    EXPECT_EQ(ticks.pending_vector(600), -1);
}

TEST(HostTicks, TheTimerIsAnInterruptOfItsOwn) {
    HostTicks ticks;
    ticks.arm(500);
    ticks.set_timer(300);
    EXPECT_EQ(ticks.next_event(), 300u);
    EXPECT_EQ(ticks.pending_vector(299), -1);
    EXPECT_EQ(ticks.pending_vector(300), 0xef);
    ticks.taken(300);
    EXPECT_EQ(ticks.next_event(), 500u);
    ticks.set_timer(400);
    ticks.set_timer(HostTicks::never);
    EXPECT_EQ(ticks.next_event(), 500u);
}

TEST(HostTicks, AKickComesAtOnceAndOnce) {
    HostTicks ticks;
    ticks.kick();
    EXPECT_EQ(ticks.next_event(), 0u);
    EXPECT_EQ(ticks.pending_vector(0), 0xef);
    ticks.taken(0);
    EXPECT_EQ(ticks.pending_vector(1'000'000), -1);
}

TEST(HostTicks, ItHasNoMsrs) {
    HostTicks ticks;
    bool fault = false;
    EXPECT_EQ(ticks.read_msr(0x802, 0, fault), 0u);
    EXPECT_TRUE(fault);
    EXPECT_FALSE(ticks.write_msr(0x6e0, 1, 0));
}

TEST(HostTicks, AnInterruptionOfAnEnclaveComesAtOnceAndOnce) {
    HostTicks ticks;
    cpu::sgx::Interruptions interruptions;
    ticks.watch(&interruptions);
    ticks.arm(500);
    interruptions.host_tick = 1;
    EXPECT_EQ(ticks.pending_vector(100), 0xef);
    EXPECT_LE(ticks.due(), 100u);
    ticks.taken(100);
    EXPECT_EQ(ticks.pending_vector(100), -1);
    EXPECT_EQ(ticks.due(), 500u);
}

}  // namespace
}  // namespace postern::host
