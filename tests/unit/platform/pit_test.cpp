// SPDX-License-Identifier: Apache-2.0
// The 8254: modes, latches, read-back, port 61H. Times are those of a crystal of 1.193182 MHz.
#include "platform/device/pit.h"

#include <gtest/gtest.h>

#include "unit/platform/chips.h"

namespace postern::platform {
namespace {

static_assert(Oscillator{1'193'182}.ticks_at(1'000'000'000) == 1'193'182);
static_assert(Oscillator{1'193'182}.ticks_at(999'999'999) == 1'193'181);
static_assert(Oscillator{1'193'182}.time_of(1'193'182) == 1'000'000'000);
static_assert(Oscillator{1'193'182}.time_of(1) == 839);  // 838.096 ns
static_assert(Oscillator{1'193'182}.ticks_at(838) == 0);
static_assert(Oscillator{1'193'182}.ticks_at(839) == 1);
static_assert(Oscillator{3'579'545}.ticks_at(u64{1} << 62) == 16'507'737'628'831'664);

class Timer : public ::testing::Test {
protected:
    Timer() { EXPECT_TRUE(pit.attach(bus)); }
    void out(u16 port, u8 value) { bus.out(port, 1, value); }
    u8 in(u16 port) { return static_cast<u8>(bus.in(port, 1)); }
    void program(unsigned channel, unsigned mode, u16 count) {
        out(0x43, static_cast<u8>(channel << 6 | 0x30 | mode << 1));
        out(static_cast<u16>(0x40 + channel), static_cast<u8>(count));
        out(static_cast<u16>(0x40 + channel), static_cast<u8>(count >> 8));
    }
    u16 count(unsigned channel) {
        const u8 low = in(static_cast<u16>(0x40 + channel));
        return static_cast<u16>(low | in(static_cast<u16>(0x40 + channel)) << 8);
    }
    /// `ticks` after the loading of a count that was written at time 0.
    void at_tick(u64 ticks) { pass_to(clock, pit, Oscillator{1'193'182}.time_of(ticks + 1)); }
    [[nodiscard]] unsigned rises() const { return lines.rises[0]; }

    TestClock clock;
    TestLines lines;
    Pit pit{clock, lines};
    Bus bus;
    unsigned before = rises();
};

TEST_F(Timer, Mode0InterruptsOnceWhenTheCountIsOver) {
    program(0, 0, 100);
    EXPECT_FALSE(lines.levels[0]);
    before = rises();
    at_tick(99);
    EXPECT_FALSE(lines.levels[0]);
    at_tick(100);
    EXPECT_TRUE(lines.levels[0]);
    at_tick(200'000);
    EXPECT_EQ(rises(), before + 1);
    EXPECT_EQ(pit.next_event(), ~u64{0});
}

TEST_F(Timer, Mode2IsLowForTheLastTickOfEachPeriod) {
    program(0, 2, 1000);
    EXPECT_TRUE(lines.levels[0]);
    before = rises();
    at_tick(998);
    EXPECT_TRUE(lines.levels[0]);
    at_tick(999);
    EXPECT_FALSE(lines.levels[0]);
    at_tick(1000);
    EXPECT_TRUE(lines.levels[0]);
    at_tick(100'500);
    EXPECT_EQ(rises(), before + 100);
}

TEST_F(Timer, Mode3IsHighForTheLongerHalf) {
    program(0, 3, 1001);
    before = rises();
    at_tick(500);
    EXPECT_TRUE(lines.levels[0]);
    at_tick(501);
    EXPECT_FALSE(lines.levels[0]);
    at_tick(1000);
    EXPECT_FALSE(lines.levels[0]);
    at_tick(1001);
    EXPECT_TRUE(lines.levels[0]);
    EXPECT_EQ(rises(), before + 1);
}

TEST_F(Timer, Mode4IsLowForOneTickAfterTheCount) {
    program(0, 4, 50);
    EXPECT_TRUE(lines.levels[0]);
    at_tick(49);
    EXPECT_TRUE(lines.levels[0]);
    at_tick(50);
    EXPECT_FALSE(lines.levels[0]);
    at_tick(51);
    EXPECT_TRUE(lines.levels[0]);
    EXPECT_EQ(pit.next_event(), ~u64{0});
}

TEST_F(Timer, ALateLookSeesEveryPeriodAfterAll) {
    program(0, 2, 1000);
    before = rises();
    clock.time = Oscillator{1'193'182}.time_of(5501);
    pit.advance(clock.time);
    EXPECT_EQ(rises(), before + 5);
}

TEST_F(Timer, TheCountFallsByOneATickAndWrapsInMode0) {
    program(0, 0, 100);
    at_tick(0);
    EXPECT_EQ(count(0), 100);
    at_tick(30);
    EXPECT_EQ(count(0), 70);
    at_tick(101);
    EXPECT_EQ(count(0), 0xffff);
}

TEST_F(Timer, ACountOfZeroIs65536) {
    program(0, 2, 0);
    at_tick(1);
    EXPECT_EQ(count(0), 0xffff);
    at_tick(65'535);
    EXPECT_FALSE(lines.levels[0]);
}

TEST_F(Timer, Mode3CountsByTwo) {
    program(0, 3, 1000);
    at_tick(100);
    EXPECT_EQ(count(0), 800);
    at_tick(600);
    EXPECT_EQ(count(0), 800);
}

TEST_F(Timer, ALatchedCountStandsUntilItIsRead) {
    program(0, 2, 1000);
    at_tick(10);
    out(0x43, 0x00);
    at_tick(20);
    EXPECT_EQ(count(0), 990);
    EXPECT_EQ(count(0), 980);
}

TEST_F(Timer, ReadBackLatchesStatusThenCount) {
    program(0, 2, 1000);
    at_tick(10);
    out(0x43, 0xc2);  // both, of channel 0
    at_tick(20);
    EXPECT_EQ(in(0x40), 0xb4);  // output high, both bytes, mode 2
    EXPECT_EQ(count(0), 990);
}

TEST_F(Timer, StatusSaysThatNoCountWasLoadedYet) {
    out(0x43, 0x30);
    out(0x43, 0xe2);
    EXPECT_EQ(in(0x40), 0x70);
}

TEST_F(Timer, OneByteAccessSetsTheOtherToZero) {
    out(0x43, 0x20);  // mode 0, high byte
    out(0x40, 1);
    at_tick(6);
    EXPECT_EQ(in(0x40), 0);  // 250
    out(0x43, 0x10);         // mode 0, low byte
    out(0x40, 9);
    EXPECT_EQ(in(0x40), 9);
}

TEST_F(Timer, BcdCountsInDecimal) {
    out(0x43, 0x31);
    out(0x40, 0x00);
    out(0x40, 0x10);  // 1000
    at_tick(1);
    EXPECT_EQ(count(0), 0x0999);
}

TEST_F(Timer, ANewCountOfMode2BeginsWithTheNextPeriod) {
    program(0, 2, 1000);
    at_tick(500);
    out(0x40, 0x64);
    out(0x40, 0x00);
    before = rises();
    at_tick(999);
    EXPECT_EQ(rises(), before);
    at_tick(1000);
    EXPECT_EQ(rises(), before + 1);
    at_tick(1100);
    EXPECT_EQ(rises(), before + 2);
}

TEST_F(Timer, Port61sGateLetsChannel2CountAndItsOutputIsBit5) {
    out(0x61, 0x00);
    program(2, 0, 100);
    at_tick(200);
    EXPECT_EQ(in(0x61) & 0x2f, 0x00);
    EXPECT_EQ(count(2), 100);
    out(0x61, 0x01);
    at_tick(299);
    EXPECT_EQ(in(0x61) & 0x2f, 0x01);
    at_tick(301);
    EXPECT_EQ(in(0x61) & 0x2f, 0x21);
}

TEST_F(Timer, TheGateRestartsMode2AndTriggersMode1) {
    out(0x61, 0x01);
    program(2, 2, 1000);
    at_tick(700);
    out(0x61, 0x00);
    out(0x61, 0x01);
    at_tick(800);
    EXPECT_NEAR(count(2), 900, 1);
    program(2, 1, 100);
    at_tick(1000);
    EXPECT_EQ(in(0x61) & 0x20, 0x20);  // not triggered
    out(0x61, 0x00);
    out(0x61, 0x01);
    at_tick(1002);
    EXPECT_EQ(in(0x61) & 0x20, 0x00);
    at_tick(1102);
    EXPECT_EQ(in(0x61) & 0x20, 0x20);
}

TEST_F(Timer, TheRefreshBitTogglesEvery15Microseconds) {
    const u8 first = in(0x61) & 0x10;
    clock.time += 15'086;
    EXPECT_NE(in(0x61) & 0x10, first);
    clock.time += 15'086;
    EXPECT_EQ(in(0x61) & 0x10, first);
}

TEST_F(Timer, ARestoredTimerGoesOn) {
    program(0, 2, 1000);
    at_tick(500);
    Pit other{clock, lines};
    other.restore(pit.state());
    EXPECT_EQ(other.next_event(), pit.next_event());
    EXPECT_EQ(other.read_port(0x40, 1), 500u & 0xff);
}

}  // namespace
}  // namespace postern::platform
