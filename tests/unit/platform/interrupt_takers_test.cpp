// SPDX-License-Identifier: Apache-2.0
// The devices of a guest, whose local APICs are its hypervisor's: who takes their interrupts.
#include <gtest/gtest.h>

#include <vector>

#include "platform/pc_devices.h"

namespace postern::platform {
namespace {

struct Taker final : ApicNetwork::Receiver, Pic::Output {
    bool receive(const ApicMessage& message) override {
        messages.push_back(message);
        return takes;
    }
    void set_external(bool level) override { external = level; }

    std::vector<ApicMessage> messages;
    bool takes = true;
    bool external = false;
};

class GuestChips : public ::testing::Test, public Clock {
protected:
    [[nodiscard]] u64 now() const override { return 0; }
    /// A pin of the I/O APIC: fixed, triggered by level, to processor 1.
    void write_entry(unsigned pin, u8 vector) {
        bus.write(Hpa{ioapic_base}, 4, 0x11 + 2 * pin);
        bus.write(Hpa{ioapic_base + 0x10}, 4, 1u << 24);
        bus.write(Hpa{ioapic_base}, 4, 0x10 + 2 * pin);
        bus.write(Hpa{ioapic_base + 0x10}, 4, u32{1} << 15 | vector);
    }

    Bus bus;
    StringSink serial, debug;
    Taker taker;
    PcDevices pc{{*this, bus, serial, debug, [](u32) {}},
                 layout_of(64 * mib, 0),
                 2,
                 InterruptTakers{taker, taker}};
};

TEST_F(GuestChips, MessagesGoToTheTakerAsTheyAre) {
    write_entry(20, 0x41);
    pc.router.set(20, true);
    ASSERT_EQ(taker.messages.size(), 1u);
    const ApicMessage& message = taker.messages[0];
    EXPECT_EQ(message.destination, 1u);
    EXPECT_EQ(message.vector, 0x41);
    EXPECT_TRUE(message.level);
    EXPECT_FALSE(message.logical);
}

TEST_F(GuestChips, ALevelIsSentAgainAfterItsEnd) {
    write_entry(20, 0x41);
    pc.router.set(20, true);
    pc.network.broadcast_end(0x40);
    EXPECT_EQ(taker.messages.size(), 1u);
    pc.network.broadcast_end(0x41);
    EXPECT_EQ(taker.messages.size(), 2u);
    pc.router.set(20, false);
    pc.network.broadcast_end(0x41);
    EXPECT_EQ(taker.messages.size(), 2u);
}

TEST_F(GuestChips, WhatNobodyTakesIsNotInService) {
    taker.takes = false;
    write_entry(20, 0x41);
    pc.router.set(20, true);
    EXPECT_EQ(pc.ioapic.state().entries[20] >> 14 & 1, 0u);  // remote IRR
}

TEST_F(GuestChips, AMessageSignalledInterruptIsOneToo) {
    EXPECT_TRUE(pc.network.deliver_msi(0xfee0'1004, 0x4155));
    ASSERT_EQ(taker.messages.size(), 1u);
    EXPECT_TRUE(taker.messages[0].logical);
    EXPECT_EQ(taker.messages[0].destination, 1u);
    EXPECT_EQ(taker.messages[0].mode, DeliveryMode::lowest_priority);
}

TEST_F(GuestChips, TheWireOfThe8259sGoesToTheTaker) {
    bus.out(0x20, 1, 0x11);
    bus.out(0x21, 1, 0x30);
    bus.out(0x21, 1, 4);
    bus.out(0x21, 1, 1);
    bus.out(0x21, 1, 0xef);
    pc.router.set(4, true);
    EXPECT_TRUE(taker.external);
    EXPECT_EQ(pc.pic.acknowledge(), 0x34);
    EXPECT_FALSE(taker.external);
}

TEST_F(GuestChips, NoLocalApicIsOnTheBus) {
    EXPECT_TRUE(pc.complete);
    EXPECT_EQ(bus.name_at(BusSpace::memory, local_apic_base), "nobody");
    EXPECT_EQ(bus.name_at(BusSpace::memory, ioapic_base), "ioapic");
}

}  // namespace
}  // namespace postern::platform
