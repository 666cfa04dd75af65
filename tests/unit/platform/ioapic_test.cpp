// SPDX-License-Identifier: Apache-2.0
// The I/O APIC: registers, edges, levels with their remote IRR, destinations.
#include "platform/device/ioapic.h"

#include <gtest/gtest.h>

#include <memory>

#include "cpu/cpu.h"
#include "platform/device/local_apic.h"

namespace postern::platform {
namespace {

class IoApicPins : public ::testing::Test {
protected:
    IoApicPins() {
        for (u32 n = 0; n < 4; ++n) {
            processors.push_back(std::make_unique<cpu::Cpu>());
            processors[n]->number = n;
            processors[n]->msr.apic_base = 0xfee0'0800;
            apics.push_back(std::make_unique<LocalApic>(*processors[n], &network));
            apics[n]->mmio_write(0xf0, 4, 0x1ff);
            apics[n]->mmio_write(0xd0, 4, 1u << (24 + n));  // flat logical ID
        }
    }
    u32 read(u32 index) {
        ioapic.mmio_write(0, 4, index);
        return static_cast<u32>(ioapic.mmio_read(0x10, 4));
    }
    void write(u32 index, u32 value) {
        ioapic.mmio_write(0, 4, index);
        ioapic.mmio_write(0x10, 4, value);
    }
    void set_entry(unsigned pin, u32 low, u8 destination = 0) {
        write(0x11 + 2 * pin, u32{destination} << 24);
        write(0x10 + 2 * pin, low);
    }
    /// The vector that processor n would take, which it takes and ends if asked to.
    int vector(unsigned n) { return apics[n]->pending_vector(0); }
    void take(unsigned n) { apics[n]->acknowledge(static_cast<u8>(vector(n))); }
    void end(unsigned n) { apics[n]->mmio_write(0xb0, 4, 0); }

    ApicNetwork network;
    std::vector<std::unique_ptr<cpu::Cpu>> processors;
    std::vector<std::unique_ptr<LocalApic>> apics;
    IoApic ioapic{network};
};

constexpr u32 level = 0x8000;
constexpr u32 remote_irr = 0x4000;
constexpr u32 masked = 0x1'0000;

TEST_F(IoApicPins, ItHas24PinsAndVersion20H) {
    EXPECT_EQ(read(1), 0x0017'0020u);
    write(0, 0x0500'0000);
    EXPECT_EQ(read(0), 0x0500'0000u);
    EXPECT_EQ(ioapic.mmio_read(0, 4), 0u);  // the index register
}

TEST_F(IoApicPins, AfterResetEveryPinIsMasked) {
    for (u32 pin = 0; pin < 24; ++pin) EXPECT_EQ(read(0x10 + 2 * pin), masked) << pin;
}

TEST_F(IoApicPins, StatusBitsOfAnEntryAreReadOnly) {
    set_entry(5, 0xffff'ffff & ~level, 0xab);
    EXPECT_EQ(read(0x1a), 0x0001'2fffu);
    EXPECT_EQ(read(0x1b), 0xab00'0000u);
}

TEST_F(IoApicPins, AnEdgeIsSentOnceToItsPhysicalDestination) {
    set_entry(4, 0x34, 2);
    ioapic.set_pin(4, true);
    EXPECT_EQ(vector(2), 0x34);
    EXPECT_EQ(vector(0), -1);
    take(2);
    end(2);
    ioapic.set_pin(4, true);
    EXPECT_EQ(vector(2), -1);
    ioapic.set_pin(4, false);
    ioapic.set_pin(4, true);
    EXPECT_EQ(vector(2), 0x34);
}

TEST_F(IoApicPins, AnEdgeThatMeetsAMaskIsLost) {
    set_entry(4, 0x34 | masked);
    ioapic.set_pin(4, true);
    set_entry(4, 0x34);
    EXPECT_EQ(vector(0), -1);
}

TEST_F(IoApicPins, ALevelIsSentAgainAfterItsEndWhileItLasts) {
    set_entry(17, 0x51 | level);
    ioapic.set_pin(17, true);
    EXPECT_EQ(read(0x32), 0x51u | level | remote_irr);
    take(0);
    EXPECT_EQ(vector(0), -1);
    end(0);
    EXPECT_EQ(vector(0), 0x51);
    take(0);
    ioapic.set_pin(17, false);
    EXPECT_EQ(read(0x32), 0x51u | level | remote_irr);
    end(0);
    EXPECT_EQ(read(0x32), 0x51u | level);
    EXPECT_EQ(vector(0), -1);
}

TEST_F(IoApicPins, ALevelWaitsForItsMaskToGo) {
    set_entry(17, 0x51 | level | masked);
    ioapic.set_pin(17, true);
    EXPECT_EQ(vector(0), -1);
    set_entry(17, 0x51 | level);
    EXPECT_EQ(vector(0), 0x51);
}

TEST_F(IoApicPins, TheEoiRegisterEndsAVector) {
    set_entry(17, 0x51 | level);
    ioapic.set_pin(17, true);
    ioapic.set_pin(17, false);
    ioapic.mmio_write(0x40, 4, 0x52);
    EXPECT_EQ(read(0x32) & remote_irr, remote_irr);
    ioapic.mmio_write(0x40, 4, 0x51);
    EXPECT_EQ(read(0x32) & remote_irr, 0u);
}

TEST_F(IoApicPins, MakingThePinAnEdgeClearsItsRemoteIrr) {
    set_entry(17, 0x51 | level);
    ioapic.set_pin(17, true);
    ioapic.set_pin(17, false);
    set_entry(17, 0x51 | masked);
    set_entry(17, 0x51 | masked | level);
    EXPECT_EQ(read(0x32), 0x51u | masked | level);
}

TEST_F(IoApicPins, ALogicalDestinationReachesAllItNames) {
    set_entry(4, 0x0834, 0b1010);
    ioapic.set_pin(4, true);
    EXPECT_EQ(vector(0), -1);
    EXPECT_EQ(vector(1), 0x34);
    EXPECT_EQ(vector(2), -1);
    EXPECT_EQ(vector(3), 0x34);
}

TEST_F(IoApicPins, LowestPriorityChoosesTheLeastBusyThenTheLowestNumber) {
    apics[1]->set_task_priority(3);
    set_entry(4, 0x0934, 0b1110);
    ioapic.set_pin(4, true);
    EXPECT_EQ(vector(1), -1);
    EXPECT_EQ(vector(2), 0x34);
    EXPECT_EQ(vector(3), -1);
}

TEST_F(IoApicPins, AnNmiSetsTheProcessorsEvent) {
    set_entry(4, 0x0400, 3);
    ioapic.set_pin(4, true);
    EXPECT_TRUE(processors[3]->event.nmi_pending);
    EXPECT_FALSE(processors[0]->event.nmi_pending);
}

TEST_F(IoApicPins, ARestoredOneStillWaitsForItsEnd) {
    set_entry(17, 0x51 | level);
    ioapic.set_pin(17, true);
    IoApic other{network};
    other.restore(ioapic.state());
    other.mmio_write(0, 4, 0x32);
    EXPECT_EQ(other.mmio_read(0x10, 4), 0x51u | level | remote_irr);
}

}  // namespace
}  // namespace postern::platform
