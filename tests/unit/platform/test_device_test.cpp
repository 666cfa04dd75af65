// SPDX-License-Identifier: Apache-2.0
// The test device: its register, its memory, its wires.
#include "platform/device/test_device.h"

#include <gtest/gtest.h>

#include "unit/platform/chips.h"
#include "unit/platform/running_computer.h"

namespace postern::platform {
namespace {

class Testing : public ::testing::Test {
protected:
    Testing() { EXPECT_TRUE(device.attach(bus)); }

    Bus bus;
    TestLines lines;
    TestDevice device{lines};
};

TEST_F(Testing, TheRegisterKeepsEachByte) {
    bus.out(0xe0, 4, 0x1234'5678);
    EXPECT_EQ(bus.in(0xe0, 4), 0x1234'5678u);
    bus.out(0xe1, 1, 0xff);
    EXPECT_EQ(bus.in(0xe0, 4), 0x1234'ff78u);
    bus.out(0xe2, 2, 0xabcd);
    EXPECT_EQ(bus.in(0xe0, 4), 0xabcd'ff78u);
    EXPECT_EQ(bus.in(0xe3, 1) & 0xff, 0xabu);
    EXPECT_EQ(bus.in(0xe8, 1) & 0xff, 0x78u);
    bus.out(0xe8, 1, 0x11);
    EXPECT_EQ(bus.in(0xe0, 2) & 0xffff, 0xff11u);
}

TEST_F(Testing, AFlushChangesNothing) {
    bus.out(0xe0, 4, 0x1234'5678);
    bus.out(0xe4, 4, 0x10'0000);
    EXPECT_EQ(bus.in(0xe0, 4), 0x1234'5678u);
}

TEST_F(Testing, ItsMemoryIsMemory) {
    bus.write(Hpa{0xff00'0010}, 8, 0x1122'3344'5566'7788);
    bus.write(Hpa{0xff00'0011}, 1, 0);
    EXPECT_EQ(bus.read(Hpa{0xff00'0010}, 8), 0x1122'3344'5566'0088u);
    EXPECT_EQ(bus.read(Hpa{0xff00'0012}, 2), 0x5566u);
    bus.write(Hpa{0xff00'ffff}, 1, 0x5a);
    EXPECT_EQ(bus.read(Hpa{0xff00'ffff}, 1), 0x5au);
    EXPECT_EQ(bus.read(Hpa{0xff01'0000}, 1), 0xffu);
}

TEST_F(Testing, EachPortHoldsItsWire) {
    bus.out(0x2005, 1, 1);
    EXPECT_TRUE(lines.levels[5]);
    bus.out(0x2017, 4, 0x100);
    EXPECT_TRUE(lines.levels[23]);
    bus.out(0x2005, 1, 0);
    EXPECT_FALSE(lines.levels[5]);
    EXPECT_EQ(lines.rises[5], 1u);
}

TEST_F(Testing, ItsStateIsItsRegisterAndItsMemory) {
    bus.out(0xe0, 4, 0x1234'5678);
    bus.write(Hpa{0xff00'0100}, 4, 0xdead);
    TestDevice other{lines};
    other.restore(device.state());
    EXPECT_EQ(other.mmio_read(0x100, 4), 0xdeadu);
    EXPECT_EQ(other.state().value, 0x1234'5678u);
}

std::unique_ptr<Computer> computer_with(bool test_devices, test::RunningComputer& sinks) {
    ComputerConfig config;
    config.layout = layout_of(8 * mib, 0);
    config.model = &cpu::default_model();
    config.test_devices = test_devices;
    auto made = Computer::create(std::move(config), {sinks.serial, sinks.debug, {}});
    return made ? std::move(*made) : nullptr;
}

TEST(TestDeviceInAPc, IsThereOnlyIfAskedForAndInFrontOfPci) {
    test::RunningComputer sinks;
    const auto with = computer_with(true, sinks);
    ASSERT_NE(with, nullptr);
    with->machine().bus().out(0xe0, 1, 0x42);
    EXPECT_EQ(with->machine().bus().in(0xe0, 1) & 0xff, 0x42u);
    with->machine().bus().out(0x2005, 1, 1);
    EXPECT_EQ(with->devices().ioapic.state().lines >> 5 & 1, 1u);
    const auto without = computer_with(false, sinks);
    ASSERT_NE(without, nullptr);
    without->machine().bus().out(0x2005, 1, 1);
    EXPECT_EQ(without->devices().ioapic.state().lines >> 5 & 1, 0u);
    EXPECT_EQ(without->machine().bus().in(0xe0, 1), 0xffu);
}

TEST(TestDeviceInAPc, IsInItsSnapshots) {
    test::RunningComputer sinks;
    const auto first = computer_with(true, sinks);
    const auto second = computer_with(true, sinks);
    const auto without = computer_with(false, sinks);
    ASSERT_TRUE(first && second && without);
    first->machine().bus().out(0xe0, 1, 0x42);
    const snapshot::Bytes saved = snapshot_bytes(subject_of(*first));
    ASSERT_TRUE(load_snapshot(subject_of(*second), saved, "file").has_value());
    EXPECT_EQ(second->machine().bus().in(0xe0, 1) & 0xff, 0x42u);
    EXPECT_FALSE(load_snapshot(subject_of(*without), saved, "file").has_value());
}

}  // namespace
}  // namespace postern::platform
