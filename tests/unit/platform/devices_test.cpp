// SPDX-License-Identifier: Apache-2.0
// The bus, the small ports and the doorbell.
#include "platform/devices.h"

#include <gtest/gtest.h>

namespace postern::platform {
namespace {

class Pc : public ::testing::Test {
protected:
    StringSink serial_text;
    StringSink debug_text;
    std::vector<u32> marks;
    Devices devices{serial_text, debug_text, [this](u32 value) { marks.push_back(value); }};
    Bus& bus = devices.bus;
};

TEST_F(Pc, EveryDeviceFindsItsPlace) { EXPECT_TRUE(devices.complete); }

TEST_F(Pc, WhereNobodyAnswersReadsAreAllOnes) {
    EXPECT_EQ(bus.in(0x1234, 1), 0xffu);
    EXPECT_EQ(bus.in(0x1234, 2), 0xffffu);
    EXPECT_EQ(bus.in(0x1234, 4), 0xffff'ffffu);
    EXPECT_EQ(bus.read(Hpa{0xd000'0000}, 8), ~u64{0});
    u64 value = 0;
    EXPECT_FALSE(bus.try_read(0xd000'0000, 2, value));
    EXPECT_EQ(value, 0xffffu);
    EXPECT_FALSE(bus.try_write(0xd000'0000, 2, 1));
    EXPECT_FALSE(bus.try_out(0x1234, 1, 1));
}

TEST_F(Pc, TwoDevicesCannotClaimOnePort) {
    Serial second{serial_text, 0x3ff};
    EXPECT_FALSE(bus.attach(second));
    Serial third{serial_text, 0x2f8};
    EXPECT_TRUE(bus.attach(third));
}

TEST_F(Pc, TheExitPortStopsTheMachineWithTheFirstValue) {
    EXPECT_FALSE(bus.stop_requested());
    bus.out(0xf4, 4, 5);
    bus.out(0xf4, 4, 6);
    EXPECT_TRUE(bus.stop_requested());
    EXPECT_EQ(bus.stop_request().kind, StopKind::exit_port);
    EXPECT_EQ(bus.stop_request().value, 5u);
}

TEST(ExitPort, StatusIsTwiceTheValuePlusOne) {
    EXPECT_EQ(ExitPort::status(0), 1);
    EXPECT_EQ(ExitPort::status(1), 3);
    EXPECT_EQ(ExitPort::status(5), 11);
    EXPECT_EQ(ExitPort::status(0x80), 1);  // the host keeps 8 bits
}

TEST_F(Pc, MarksAreSeenWhole) {
    bus.out(0xf5, 4, 0xf000'0001);
    EXPECT_EQ(marks, std::vector<u32>{0xf000'0001});
}

TEST_F(Pc, TheDebugPortTakesBytesAndSaysThatItIsThere) {
    bus.out(0xe9, 1, 'h');
    bus.out(0xe9, 1, 'i');
    EXPECT_EQ(debug_text.text(), "hi");
    EXPECT_EQ(bus.in(0xe9, 1), 0xe9u);
}

TEST_F(Pc, Port80KeepsTheLastCode) {
    bus.out(0x80, 1, 0x42);
    EXPECT_EQ(bus.in(0x80, 1), 0x42u);
}

TEST_F(Pc, ARisingBit2OfCf9Resets) {
    bus.out(0xcf9, 1, 0x02);
    EXPECT_FALSE(bus.stop_requested());
    EXPECT_EQ(bus.in(0xcf9, 1), 0x02u);
    bus.out(0xcf9, 1, 0x06);
    EXPECT_EQ(bus.stop_request().kind, StopKind::reset);
}

TEST_F(Pc, EveryDoorbellRegisterRecordsWhatTouchesIt) {
    EXPECT_EQ(bus.read(Hpa{0xfe00'0000}, 4), 0xb311'0000u);
    EXPECT_EQ(bus.read(Hpa{0xfe00'0ffe}, 2), 0x0ffeu);
    EXPECT_EQ(bus.read(Hpa{0xfe00'0040}, 1), 0x40u);
    EXPECT_EQ(bus.read(Hpa{0xfe00'0040}, 8), 0xb311'0040u);
    bus.write(Hpa{0xfe00'0000}, 4, 0x1'2345'6789);
    const std::vector<Doorbell::Ring> expected{
        {0, 0xb311'0000, 0, 4, false},    {1, 0x0ffe, 0xffe, 2, false}, {2, 0x40, 0x40, 1, false},
        {3, 0xb311'0040, 0x40, 8, false}, {4, 0x2345'6789, 0, 4, true},
    };
    EXPECT_EQ(devices.doorbell.rings(), expected);
    EXPECT_EQ(devices.doorbell.count(), 5u);
}

TEST_F(Pc, TheDoorbellCountsWhatItNoLongerKeeps) {
    for (u32 i = 0; i < 5000; ++i) bus.write(Hpa{0xfe00'0000}, 1, 1);
    EXPECT_EQ(devices.doorbell.rings().size(), 4096u);
    EXPECT_EQ(devices.doorbell.count(), 5000u);
}

TEST_F(Pc, TheSerialPortIsAtItsUsualPlace) {
    bus.out(0x3f8, 1, 'x');
    EXPECT_EQ(serial_text.text(), "x");
    EXPECT_EQ(bus.in(0x3fd, 1), 0x60u);
}

}  // namespace
}  // namespace postern::platform
