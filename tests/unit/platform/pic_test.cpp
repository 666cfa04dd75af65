// SPDX-License-Identifier: Apache-2.0
// The two 8259As: initialization, priorities, ends of interrupts, cascade, edges and levels.
#include "platform/device/pic.h"

#include <gtest/gtest.h>

namespace postern::platform {
namespace {

class Pics : public ::testing::Test, public Pic::Output {
protected:
    Pics() {
        pic.connect(*this);
        EXPECT_TRUE(pic.attach(bus));
        initialize(1);
    }
    void set_external(bool level) override { output = level; }
    void out(u16 port, u8 value) { bus.out(port, 1, value); }
    u8 in(u16 port) { return static_cast<u8>(bus.in(port, 1)); }
    /// ICW1 to ICW4, all requests unmasked.
    void initialize(u8 word4) {
        out(0x20, 0x11);
        out(0x21, 0x20);
        out(0x21, 0x04);
        out(0x21, word4);
        out(0xa0, 0x11);
        out(0xa1, 0x28);
        out(0xa1, 0x02);
        out(0xa1, word4);
    }

    Bus bus;
    Pic pic;
    bool output = false;
};

TEST_F(Pics, ARequestRaisesIntAndIsAcknowledgedWithItsVector) {
    pic.set_line(4, true);
    EXPECT_TRUE(output);
    EXPECT_EQ(in(0x20), 0x10);  // IRR
    EXPECT_EQ(pic.acknowledge(), 0x24);
    EXPECT_FALSE(output);
    EXPECT_EQ(in(0x20), 0x00);
    out(0x20, 0x0b);
    EXPECT_EQ(in(0x20), 0x10);  // ISR
    out(0x20, 0x20);
    EXPECT_EQ(in(0x20), 0x00);
}

TEST_F(Pics, AnEdgeAsksOnceEvenIfTheLineStaysHigh) {
    pic.set_line(4, true);
    pic.acknowledge();
    out(0x20, 0x20);
    EXPECT_FALSE(output);
    pic.set_line(4, true);
    EXPECT_FALSE(output);
    pic.set_line(4, false);
    pic.set_line(4, true);
    EXPECT_TRUE(output);
}

TEST_F(Pics, ARequestThatFallsBeforeItsAcknowledgementIsSpurious) {
    pic.set_line(4, true);
    pic.set_line(4, false);
    EXPECT_FALSE(output);
    EXPECT_EQ(pic.acknowledge(), 0x27);
    out(0x20, 0x0b);
    EXPECT_EQ(in(0x20), 0x00);  // not in service
}

TEST_F(Pics, TheMaskHoldsARequestBackWithoutLosingIt) {
    out(0x21, 0x10);
    EXPECT_EQ(in(0x21), 0x10);
    pic.set_line(4, true);
    EXPECT_FALSE(output);
    out(0x21, 0x00);
    EXPECT_TRUE(output);
}

TEST_F(Pics, OnlyAHigherRequestInterruptsOneInService) {
    pic.set_line(3, true);
    EXPECT_EQ(pic.acknowledge(), 0x23);
    pic.set_line(5, true);
    EXPECT_FALSE(output);
    pic.set_line(1, true);
    EXPECT_TRUE(output);
    EXPECT_EQ(pic.acknowledge(), 0x21);
    out(0x20, 0x20);  // ends the higher one
    EXPECT_FALSE(output);
    out(0x20, 0x63);  // specific: 3
    EXPECT_TRUE(output);
    EXPECT_EQ(pic.acknowledge(), 0x25);
}

TEST_F(Pics, TheSecondChipAsksThroughRequest2) {
    pic.set_line(12, true);
    EXPECT_EQ(in(0x20), 0x04);
    EXPECT_EQ(pic.acknowledge(), 0x2c);
    out(0x20, 0x0b);
    out(0xa0, 0x0b);
    EXPECT_EQ(in(0x20), 0x04);
    EXPECT_EQ(in(0xa0), 0x10);
    out(0xa0, 0x20);
    out(0x20, 0x20);
    EXPECT_EQ(in(0x20), 0x00);
    EXPECT_EQ(in(0xa0), 0x00);
}

TEST_F(Pics, TwoRequestsOfTheSecondChipAreBothServed) {
    pic.set_line(9, true);
    pic.set_line(12, true);
    EXPECT_EQ(pic.acknowledge(), 0x29);
    EXPECT_FALSE(output);
    out(0xa0, 0x20);
    out(0x20, 0x20);
    EXPECT_TRUE(output);
    EXPECT_EQ(pic.acknowledge(), 0x2c);
}

TEST_F(Pics, ASecondChipsRequestThatVanishesIsItsSpurious7) {
    pic.set_line(12, true);
    Pic::State state = pic.state();
    state.second.requested = 0;  // as if it fell during the acknowledgement
    pic.restore(state);
    EXPECT_EQ(pic.acknowledge(), 0x2f);
    out(0xa0, 0x0b);
    EXPECT_EQ(in(0xa0), 0x00);
}

TEST_F(Pics, ALevelAsksUntilItFalls) {
    out(0x4d1, 0x02);  // request 9
    EXPECT_EQ(in(0x4d1), 0x02);
    pic.set_line(9, true);
    EXPECT_EQ(pic.acknowledge(), 0x29);
    out(0xa0, 0x20);
    out(0x20, 0x20);
    EXPECT_TRUE(output);
    pic.set_line(9, false);
    EXPECT_FALSE(output);
}

TEST_F(Pics, TheTimersAndTheClocksRequestsAreAlwaysEdges) {
    out(0x4d0, 0xff);
    out(0x4d1, 0xff);
    EXPECT_EQ(in(0x4d0), 0xf8);
    EXPECT_EQ(in(0x4d1), 0xde);
}

TEST_F(Pics, AutomaticEndLeavesNothingInService) {
    initialize(3);
    pic.set_line(3, true);
    EXPECT_EQ(pic.acknowledge(), 0x23);
    out(0x20, 0x0b);
    EXPECT_EQ(in(0x20), 0x00);
    pic.set_line(5, true);
    EXPECT_TRUE(output);
}

TEST_F(Pics, RotationMakesTheServedRequestTheLowest) {
    pic.set_line(3, true);
    pic.acknowledge();
    out(0x20, 0xa0);  // rotate on a non-specific end
    pic.set_line(1, true);
    pic.set_line(5, true);
    EXPECT_EQ(pic.acknowledge(), 0x25);  // 4 is the highest now
    out(0x20, 0x20);
    out(0x20, 0xc7);  // set priority: 7 is the lowest again
    pic.set_line(5, false);
    pic.set_line(5, true);
    EXPECT_EQ(pic.acknowledge(), 0x21);
}

TEST_F(Pics, SpecialMaskModeLetsLowerRequestsThrough) {
    pic.set_line(3, true);
    pic.acknowledge();
    out(0x21, 0x08);  // mask the one in service
    pic.set_line(5, true);
    EXPECT_FALSE(output);
    out(0x20, 0x68);
    EXPECT_TRUE(output);
    EXPECT_EQ(pic.acknowledge(), 0x25);
}

TEST_F(Pics, APollAcknowledgesAndNamesTheRequest) {
    pic.set_line(4, true);
    out(0x20, 0x0c);
    EXPECT_EQ(in(0x20), 0x84);
    EXPECT_FALSE(output);
    out(0x20, 0x0c);
    EXPECT_EQ(in(0x20), 0x00);
}

TEST_F(Pics, InitializationForgetsEdgesMasksAndServices) {
    out(0x21, 0x80);
    pic.set_line(3, true);
    pic.acknowledge();
    pic.set_line(1, true);
    initialize(1);
    EXPECT_FALSE(output);
    EXPECT_EQ(in(0x21), 0x00);
    EXPECT_EQ(in(0x20), 0x00);
}

TEST_F(Pics, ARestoredPairGoesOn) {
    pic.set_line(4, true);
    Pic other;
    other.restore(pic.state());
    EXPECT_TRUE(other.output());
    EXPECT_EQ(other.acknowledge(), 0x24);
}

}  // namespace
}  // namespace postern::platform
