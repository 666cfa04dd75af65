// SPDX-License-Identifier: Apache-2.0
// MSI-X: the table alone, then as a virtio disk signals with it.
#include "platform/device/msix.h"

#include <gtest/gtest.h>

#include "platform/device/apic_network.h"
#include "platform/device/local_apic.h"
#include "unit/platform/virtio_driver.h"

namespace postern::platform {
namespace {

using Message = std::pair<u64, u32>;

std::vector<Message> sent(Msix& msix) {
    std::vector<Message> messages;
    msix.send_pending([&](u64 address, u32 data) { messages.emplace_back(address, data); });
    return messages;
}

void program(Msix& msix, unsigned vector, u64 address, u32 data, u32 control) {
    msix.write(16 * vector, 8, address);
    msix.write(16 * vector + 8, 4, data);
    msix.write(16 * vector + 12, 4, control);
}

TEST(Msix, EveryVectorIsMaskedAtFirst) {
    Msix msix{2};
    EXPECT_EQ(msix.read(12, 4), 1u);
    EXPECT_EQ(msix.read(28, 4), 1u);
    msix.request(0);
    EXPECT_TRUE(sent(msix).empty());
    EXPECT_EQ(msix.read(Msix::pending_offset, 8), 1u);
}

TEST(Msix, AMaskedMessageIsPendingAndGoesOnceWhenTheMaskDoes) {
    Msix msix{3};
    program(msix, 1, 0xfee0'1000, 0x41, 1);
    msix.request(1);
    msix.request(1);
    EXPECT_TRUE(sent(msix).empty());
    EXPECT_EQ(msix.read(Msix::pending_offset, 4), 2u);
    msix.write(16 + 12, 4, 0);
    EXPECT_EQ(sent(msix), (std::vector<Message>{{0xfee0'1000, 0x41}}));
    EXPECT_TRUE(sent(msix).empty());
    EXPECT_EQ(msix.read(Msix::pending_offset, 4), 0u);
}

TEST(Msix, TakesOnlyAlignedDwordsAndQwordsInItsTable) {
    Msix msix{2};
    program(msix, 0, 0x1234'5678'9abc'def3, 0x1111'2222, ~0u);
    EXPECT_EQ(msix.read(0, 8), 0x1234'5678'9abc'def0u);
    EXPECT_EQ(msix.read(4, 4), 0x1234'5678u);
    EXPECT_EQ(msix.read(8, 8), 0x0000'0001'1111'2222u);
    msix.write(8, 2, 0);
    msix.write(6, 4, 0);
    msix.write(4, 8, 0);
    msix.write(32, 4, 0);
    msix.write(0xffc, 8, 0);
    msix.write(Msix::pending_offset, 8, ~u64{0});
    EXPECT_EQ(msix.read(0, 8), 0x1234'5678'9abc'def0u);
    EXPECT_EQ(msix.read(8, 4), 0x1111'2222u);
    EXPECT_EQ(msix.read(32, 8), 0u);
    EXPECT_EQ(msix.read(Msix::pending_offset, 8), 0u);
    msix.request(2);  // there is none
    EXPECT_EQ(msix.read(Msix::pending_offset, 8), 0u);
}

/// The disk's vector 1 is its queue's; messages go to RAM, where they can be seen.
class VirtioMessages : public ::testing::Test {
protected:
    static constexpr u64 mailbox = 0x7000;
    static constexpr unsigned capability = 0x84;

    VirtioMessages() {
        EXPECT_EQ(d.blk->config_read(capability, 4) & 0x7ff'ffff, 0x1'0011u) << "two vectors";
        EXPECT_EQ(d.blk->config_read(capability + 4, 4), 1u) << "the table is BAR 1's beginning";
        EXPECT_EQ(d.blk->config_read(capability + 8, 4), 0x801u);
        for (unsigned n = 0; n < 2; ++n) {
            d.blk->bar_write(1, 16 * n, 8, mailbox + 4 * n);
            d.blk->bar_write(1, 16 * n + 8, 4, 0x4040 + n);
            d.blk->bar_write(1, 16 * n + 12, 4, 0);
        }
    }
    void control(u32 value) const { d.blk->config_write(capability + 2, 2, value); }
    void start() const {
        d.start();
        d.write(16, 2, 0);
        d.write(26, 2, 1);
    }
    [[nodiscard]] u32 mail(unsigned n) const { return d.at<u32>(mailbox + 4 * n); }

    static constexpr u32 enabled = 0x8000, masked = 0x4000;
    test::VirtioDriver d;
};

TEST_F(VirtioMessages, AQueueSendsItsMessageInsteadOfInta) {
    control(enabled);
    start();
    d.transfer(0, 0, 512);
    EXPECT_EQ(mail(1), 0x4041u);
    EXPECT_EQ(mail(0), 0u);
    EXPECT_FALSE(d.interrupt());
    EXPECT_EQ(d.read(VirtioPci::interrupt_offset, 1), 0u);
}

TEST_F(VirtioMessages, ADeviceThatBreaksDownSendsTheConfigurationsMessage) {
    control(enabled);
    start();
    d.request({{test::VirtioDriver::data, 16, 1, 1}, {0x9000, 512, 1, 0}});
    EXPECT_EQ(d.status() & 0x40, 0x40);
    EXPECT_EQ(mail(0), 0x4040u);
    EXPECT_EQ(mail(1), 0u);
}

TEST_F(VirtioMessages, MasksOfVectorFunctionAndBusMasterHoldItBack) {
    control(enabled | masked);
    start();
    d.transfer(0, 0, 512);
    EXPECT_EQ(mail(1), 0u);
    EXPECT_EQ(d.blk->bar_read(1, Msix::pending_offset, 8), 2u);
    d.blk->bar_write(1, 16 + 12, 4, 1);
    control(enabled);
    EXPECT_EQ(mail(1), 0u);
    d.blk->config_write(4, 2, 2);
    d.blk->bar_write(1, 16 + 12, 4, 0);
    EXPECT_EQ(mail(1), 0u);
    d.blk->config_write(4, 2, 6);
    EXPECT_EQ(mail(1), 0x4041u);
    EXPECT_EQ(d.blk->bar_read(1, Msix::pending_offset, 8), 0u);
}

TEST_F(VirtioMessages, WithoutAVectorThereIsNone) {
    control(enabled);
    start();
    EXPECT_EQ(d.read(26, 2), 1u);
    d.write(26, 2, 2);  // no such vector
    EXPECT_EQ(d.read(26, 2), 0xffffu);
    d.transfer(0, 0, 512);
    EXPECT_EQ(d.result(), 0u);
    EXPECT_EQ(mail(1), 0u);
    EXPECT_FALSE(d.interrupt());
    d.write(16, 2, 0x1'0000 - 1);
    EXPECT_EQ(d.read(16, 2), 0xffffu);
}

TEST_F(VirtioMessages, WithoutTheCapabilityEnabledThereIsInta) {
    start();
    d.transfer(0, 0, 512);
    EXPECT_EQ(mail(1), 0u);
    EXPECT_TRUE(d.interrupt());
    control(enabled);
    EXPECT_FALSE(d.interrupt());
    control(0);
    EXPECT_TRUE(d.interrupt());
}

TEST_F(VirtioMessages, PendingOnesAreSavedAndAResetForgetsVectors) {
    control(enabled | masked);
    start();
    d.transfer(0, 0, 512);
    const VirtioPci::State saved = d.blk->state();
    d.write(20, 1, 0);
    EXPECT_EQ(d.read(16, 2), 0xffffu);
    EXPECT_EQ(d.read(26, 2), 0xffffu);
    d.blk->bar_write(1, 16 + 12, 4, 1);
    d.blk->restore(saved);
    EXPECT_EQ(d.read(26, 2), 1u);
    control(enabled);
    EXPECT_EQ(mail(1), 0x4041u);
}

TEST(MessagesOfAPciFunction, ReachTheApics) {
    ApicNetwork network;
    cpu::Cpu processor{};
    processor.msr.apic_base = 0xfee0'0800;
    LocalApic apic{processor, &network};
    apic.mmio_write(0xf0, 4, 0x1ff);
    test::VirtioDriver d;
    PciHost host{d.lines, &network};
    VirtioBlk blk{*d.disk, Dma{d.machine->system()}};
    host.add(blk);
    blk.config_write(4, 2, 6);
    blk.bar_write(1, 0, 8, 0xfee0'0000);
    blk.bar_write(1, 8, 4, 0x4055);
    blk.bar_write(1, 12, 4, 0);
    blk.config_write(0x86, 2, 0x8000);
    blk.bar_write(0, 16, 2, 0);   // the configuration's vector
    blk.bar_write(0, 20, 1, 15);  // no feature is taken: what follows is nonsense
    blk.bar_write(0, 24, 2, 8);
    blk.bar_write(0, 48, 8, ~u64{0});
    blk.bar_write(0, 28, 2, 1);
    EXPECT_EQ(apic.pending_vector(0), -1);
    blk.bar_write(0, VirtioPci::notify_offset, 2, 0);
    EXPECT_EQ(apic.pending_vector(0), 0x55);
}

}  // namespace
}  // namespace postern::platform
