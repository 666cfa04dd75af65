// SPDX-License-Identifier: Apache-2.0
// PCI: finding functions, BARs, shared interrupt lines.
#include "platform/device/pci.h"

#include <gtest/gtest.h>

#include "unit/platform/chips.h"

namespace postern::platform {
namespace {

/// Memory of 4 KiB at BAR 0, ports at BAR 1, both of which remember.
class Probe final : public PciFunction {
public:
    Probe() : PciFunction({0x1af4, 0x1234, 0xff'00'00, 3, 0x1af4, 7}) {
        define_bar(0, BarKind::memory, 0x1000);
        define_bar(1, BarKind::io, 0x20);
    }
    u64 bar_read(unsigned bar, u64 offset, unsigned size) override {
        return (bar << 16 | offset) & all_ones(size);
    }
    void bar_write(unsigned bar, u64 offset, unsigned, u64 value) override {
        written = {bar, offset, value};
    }
    using PciFunction::set_interrupt;
    std::array<u64, 3> written{};
};

class PciBus : public ::testing::Test {
protected:
    PciBus() {
        EXPECT_TRUE(host.attach(bus));
        EXPECT_EQ(host.add(probe), 1);
    }
    u32 config(unsigned slot, unsigned offset, unsigned size = 4) {
        bus.out(0xcf8, 4, 0x8000'0000 | slot << 11 | (offset & 0xfc));
        return bus.in(static_cast<u16>(0xcfc + (offset & 3)), size);
    }
    void set_config(unsigned slot, unsigned offset, u32 value, unsigned size = 4) {
        bus.out(0xcf8, 4, 0x8000'0000 | slot << 11 | (offset & 0xfc));
        bus.out(static_cast<u16>(0xcfc + (offset & 3)), size, value);
    }

    TestLines lines;
    Bus bus;
    PciHost host{lines};
    Probe probe;
};

TEST_F(PciBus, MechanismOneAnswersToDwordsAtCf8) {
    bus.out(0xcfb, 1, 1);
    bus.out(0xcf8, 4, 0x8000'0000);
    EXPECT_EQ(bus.in(0xcf8, 4), 0x8000'0000u);
    bus.out(0xcf8, 1, 0x55);
    EXPECT_EQ(bus.in(0xcf8, 4), 0x8000'0000u);
}

TEST_F(PciBus, SlotZeroIsAHostBridge) {
    EXPECT_EQ(config(0, 0x00, 2), 0x8086u);
    EXPECT_EQ(config(0, 0x0a, 2), 0x0600u);
    EXPECT_EQ(config(0, 0x0e, 1), 0u);
    EXPECT_EQ(config(0, 0x3d, 1), 0u);
}

TEST_F(PciBus, WhereNoFunctionIsReadsAreAllOnes) {
    EXPECT_EQ(config(2, 0), 0xffff'ffffu);
    bus.out(0xcf8, 4, 0x8000'0100 | 1 << 11);  // function 1
    EXPECT_EQ(bus.in(0xcfc, 4), 0xffff'ffffu);
    bus.out(0xcf8, 4, 0x8001'0000);  // bus 1
    EXPECT_EQ(bus.in(0xcfc, 4), 0xffff'ffffu);
    bus.out(0xcf8, 4, 0x0000'0000);  // not enabled
    EXPECT_EQ(bus.in(0xcfc, 4), 0xffff'ffffu);
}

TEST_F(PciBus, IdentityIsReadOnly) {
    EXPECT_EQ(config(1, 0x00), 0x1234'1af4u);
    EXPECT_EQ(config(1, 0x08), 0xff00'0003u);
    EXPECT_EQ(config(1, 0x2c), 0x0007'1af4u);
    set_config(1, 0x00, 0);
    EXPECT_EQ(config(1, 0x00), 0x1234'1af4u);
    set_config(1, 0x3c, 0x0b, 1);
    EXPECT_EQ(config(1, 0x3c, 2), 0x010bu);
}

TEST_F(PciBus, BarsTellTheirSize) {
    set_config(1, 0x10, 0xffff'ffff);
    set_config(1, 0x14, 0xffff'ffff);
    set_config(1, 0x18, 0xffff'ffff);
    EXPECT_EQ(config(1, 0x10), 0xffff'f000u);
    EXPECT_EQ(config(1, 0x14), 0xffff'ffe1u);
    EXPECT_EQ(config(1, 0x18), 0u);
}

TEST_F(PciBus, FirmwareHasPlacedTheBarsWhichAnswerOnceEnabled) {
    EXPECT_EQ(config(1, 0x10), 0xc000'0000u);
    EXPECT_EQ(config(1, 0x14), 0x1001u);
    EXPECT_EQ(bus.read(Hpa{0xc000'0123}, 4), 0xffff'ffffu);
    set_config(1, 0x04, 7, 2);
    EXPECT_EQ(bus.read(Hpa{0xc000'0123}, 4), 0x123u);
    EXPECT_EQ(bus.in(0x1005, 4), 0x1'0005u);
    bus.out(0x101f, 1, 0x77);
    EXPECT_EQ(probe.written, (std::array<u64, 3>{1, 0x1f, 0x77}));
    EXPECT_EQ(bus.in(0x1020, 1), 0xffu);
}

TEST_F(PciBus, ABarCanBeMoved) {
    set_config(1, 0x04, 2, 2);
    set_config(1, 0x10, 0xd000'0000);
    EXPECT_EQ(bus.read(Hpa{0xc000'0123}, 4), 0xffff'ffffu);
    bus.write(Hpa{0xd000'0008}, 4, 5);
    EXPECT_EQ(probe.written, (std::array<u64, 3>{0, 8, 5}));
}

TEST_F(PciBus, SlotsShareALineUntilTheLastLetsGo) {
    std::array<Probe, 8> more;
    for (Probe& each : more) host.add(each);  // slots 2 to 9
    EXPECT_EQ(PciHost::line_of(1), 17u);
    EXPECT_EQ(PciHost::line_of(9), 17u);
    probe.set_interrupt(true);
    more[7].set_interrupt(true);
    EXPECT_TRUE(lines.levels[17]);
    probe.set_interrupt(false);
    EXPECT_TRUE(lines.levels[17]);
    more[7].set_interrupt(false);
    EXPECT_FALSE(lines.levels[17]);
}

TEST_F(PciBus, TheCommandRegisterHoldsInterruptsBackAndStatusTellsOfThem) {
    set_config(1, 0x04, 0x400, 2);
    probe.set_interrupt(true);
    EXPECT_FALSE(lines.levels[17]);
    EXPECT_EQ(config(1, 0x06, 2), 0x0008u);
    set_config(1, 0x04, 0, 2);
    EXPECT_TRUE(lines.levels[17]);
}

}  // namespace
}  // namespace postern::platform
