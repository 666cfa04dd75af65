// SPDX-License-Identifier: Apache-2.0
// The real-time clock: date and time, its three interrupts, and the memory bytes.
#include "platform/device/rtc.h"

#include <gtest/gtest.h>

#include "unit/platform/chips.h"

namespace postern::platform {
namespace {

constexpr u64 second = 1'000'000'000;

class RealTimeClock : public ::testing::Test {
protected:
    u8 read(u8 index) {
        rtc.port_write(0, 1, index);
        return static_cast<u8>(rtc.port_read(1, 1));
    }
    void write(u8 index, u8 value) {
        rtc.port_write(0, 1, index);
        rtc.port_write(1, 1, value);
    }
    /// Century, year, month, day, hours, minutes, seconds, as one number.
    u64 date() {
        u64 all = 0;
        for (const int index : {0x32, 9, 8, 7, 4, 2, 0})
            all = all << 8 | read(static_cast<u8>(index));
        return all;
    }
    void set_date(u64 all) {
        for (const int index : {0, 2, 4, 7, 8, 9, 0x32}) {
            write(static_cast<u8>(index), static_cast<u8>(all));
            all >>= 8;
        }
    }
    void go(u64 time) { pass_to(clock, rtc, time); }

    TestClock clock;
    TestLines lines;
    Rtc rtc{clock, lines, layout_of(5 * gib, 0)};
};

TEST_F(RealTimeClock, AResetKeepsTimeAndMemoryAndEndsItsInterrupts) {
    write(0x50, 0x77);
    write(0xb, 0x7a);
    set_date(0x20'30'05'06'07'08'09);
    go(5 * second);
    EXPECT_TRUE(lines.levels[Rtc::line]);
    rtc.reset();
    EXPECT_FALSE(lines.levels[Rtc::line]);
    EXPECT_EQ(read(0xb), 0x02);
    EXPECT_EQ(read(0xc), 0);
    EXPECT_EQ(date(), 0x20'30'05'06'07'08'14u);
    EXPECT_EQ(read(0x50), 0x77);
}

TEST_F(RealTimeClock, ItBeginsOnTheFirstOfJanuary2024AMonday) {
    EXPECT_EQ(date(), 0x20'24'01'01'00'00'00u);
    EXPECT_EQ(read(6), 2);
    EXPECT_EQ(read(0xa), 0x26);
    EXPECT_EQ(read(0xb), 0x02);
    EXPECT_EQ(read(0xd), 0x80);
}

TEST_F(RealTimeClock, ItGoesOnWithTheMachinesTime) {
    go(86'399 * second + 500'000'000);
    EXPECT_EQ(date(), 0x20'24'01'01'23'59'59u);
    go(86'400 * second);
    EXPECT_EQ(date(), 0x20'24'01'02'00'00'00u);
    EXPECT_EQ(read(6), 3);
    go((31 + 28) * 86'400 * second);
    EXPECT_EQ(date(), 0x20'24'02'29'00'00'00u);
}

TEST_F(RealTimeClock, BinaryAnd12HourFormsAreOffered) {
    go(13 * 3600 * second);
    write(0xb, 0x00);
    EXPECT_EQ(read(4), 0x81);
    write(0xb, 0x04);
    EXPECT_EQ(read(4), 0x81);
    EXPECT_EQ(read(9), 24);
    write(0xb, 0x06);
    EXPECT_EQ(read(4), 13);
}

TEST_F(RealTimeClock, MidnightAndNoonAre12) {
    write(0xb, 0x00);
    EXPECT_EQ(read(4), 0x12);
    go(12 * 3600 * second);
    EXPECT_EQ(read(4), 0x92);
}

TEST_F(RealTimeClock, WhileSetItStandsAndThenTakesTheNewTime) {
    write(0xb, 0x82);
    set_date(0x19'99'12'31'23'59'58);
    go(10 * second);
    EXPECT_EQ(date(), 0x19'99'12'31'23'59'58u);
    write(0xb, 0x02);
    EXPECT_EQ(date(), 0x19'99'12'31'23'59'58u);
    go(12 * second);
    EXPECT_EQ(date(), 0x20'00'01'01'00'00'00u);
}

TEST_F(RealTimeClock, LetGoTheDividerUpdatesHalfASecondLater) {
    go(10 * second + 123'456'789);
    write(0xb, 0x82);
    write(0xa, 0x76);
    set_date(0x20'30'06'15'12'00'00);
    write(0xa, 0x26);
    write(0xb, 0x02);
    const u64 set = clock.time;
    go(set + second / 2 - 1);
    EXPECT_EQ(read(0), 0x00);
    go(set + second / 2);
    EXPECT_EQ(read(0), 0x01);
}

TEST_F(RealTimeClock, UpdateInProgressComesBeforeTheSecond) {
    go(second - 2'300'000);
    EXPECT_EQ(read(0xa), 0x26);
    go(second - 2'000'000);
    EXPECT_EQ(read(0xa), 0xa6);
    EXPECT_EQ(read(0), 0x00);
    go(second);
    EXPECT_EQ(read(0xa), 0x26);
    EXPECT_EQ(read(0), 0x01);
}

TEST_F(RealTimeClock, TheUpdateInterruptIsRaisedAndReadingCLowersIt) {
    write(0xb, 0x12);
    read(0xc);
    go(second - 1);
    EXPECT_FALSE(lines.levels[8]);
    go(second);
    EXPECT_TRUE(lines.levels[8]);
    EXPECT_EQ(read(0xc) & 0xb0, 0x90);
    EXPECT_FALSE(lines.levels[8]);
    EXPECT_EQ(read(0xc), 0x00);
    go(2 * second);
    EXPECT_TRUE(lines.levels[8]);
}

TEST_F(RealTimeClock, ThePeriodicInterruptComes1024TimesASecond) {
    write(0xb, 0x42);
    for (unsigned n = 1; n <= 1024; ++n) {
        const u64 due = rtc.next_event();
        EXPECT_EQ(due, (n * second + 1023) / 1024);
        go(due);
        ASSERT_TRUE(lines.levels[8]);
        EXPECT_EQ(read(0xc) & 0xc0, 0xc0);
    }
    EXPECT_EQ(clock.time, second);
}

TEST_F(RealTimeClock, TheAlarmRingsOnceADayOrWhereItsBytesDoNotCareOften) {
    write(1, 0x30);
    write(3, 0x05);
    write(5, 0x01);
    write(0xb, 0x22);
    EXPECT_EQ(rtc.next_event(), (3600 + 5 * 60 + 30) * second);
    go(rtc.next_event());
    EXPECT_TRUE(lines.levels[8]);
    EXPECT_EQ(read(0xc) & 0xa0, 0xa0);
    EXPECT_EQ(rtc.next_event(), (86'400 + 3600 + 5 * 60 + 30) * second);
    write(5, 0xff);
    EXPECT_EQ(rtc.next_event(), (2 * 3600 + 5 * 60 + 30) * second);
}

TEST_F(RealTimeClock, AnAlarmThatNoTimeMatchesNeverRings) {
    write(1, 0x61);
    write(0xb, 0x22);
    EXPECT_EQ(rtc.next_event(), ~u64{0});
}

TEST_F(RealTimeClock, FlagsAreSetWithoutTheirInterruptsToo) {
    go(second);
    EXPECT_FALSE(lines.levels[8]);
    EXPECT_EQ(read(0xc) & 0xd0, 0x50);
}

TEST_F(RealTimeClock, MemorySizesAreWhereAPcHasThem) {
    EXPECT_EQ(read(0x15) | read(0x16) << 8, 640);
    EXPECT_EQ(read(0x17) | read(0x18) << 8, 0xffff);        // KiB above 1 MiB, at most
    EXPECT_EQ(read(0x34) | read(0x35) << 8, 0xc000 - 256);  // 64 KiB above 16 MiB
    EXPECT_EQ(read(0x5b) | read(0x5c) << 8, 0x8000);        // 64 KiB above 4 GiB
}

TEST_F(RealTimeClock, OtherBytesAreMemory) {
    write(0x0f, 0x0a);
    write(0x7f, 0x5a);
    EXPECT_EQ(read(0x0f), 0x0a);
    EXPECT_EQ(read(0xff), 0x5a);  // bit 7 is not part of the index
}

TEST_F(RealTimeClock, ARestoredClockGoesOn) {
    go(5 * second);
    write(0xb, 0x12);
    Rtc other{clock, lines, layout_of(64 * mib, 0), 0};
    other.restore(rtc.state());
    EXPECT_EQ(other.next_event(), rtc.next_event());
    other.port_write(0, 1, 0);
    EXPECT_EQ(other.port_read(1, 1), 5u);
}

}  // namespace
}  // namespace postern::platform
