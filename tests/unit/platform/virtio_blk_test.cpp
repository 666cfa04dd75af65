// SPDX-License-Identifier: Apache-2.0
// virtio-blk with rings made by hand, good ones and others.
#include <gtest/gtest.h>

#include <random>

#include "unit/platform/virtio_driver.h"

namespace postern::platform {
namespace {

using test::VirtioDriver;
constexpr u64 data = VirtioDriver::data;
constexpr u8 needs_reset = 0x40;

TEST(VirtioBlk, IsAModernDeviceWithItsStructuresInBar0) {
    VirtioDriver d;
    EXPECT_EQ(d.blk->config_read(0, 4), 0x1042'1af4u);
    EXPECT_EQ(d.blk->config_read(8, 4), 0x0180'0001u);
    EXPECT_EQ(d.blk->config_read(6, 2) & 0x10, 0x10u);
    std::vector<u8> types;
    for (unsigned at = d.blk->config_read(0x34, 1); at != 0; at = d.blk->config_read(at + 1, 1)) {
        if (d.blk->config_read(at, 1) == Msix::capability) continue;
        EXPECT_EQ(d.blk->config_read(at, 1), 9u);
        EXPECT_EQ(d.blk->config_read(at + 4, 1), 0u);  // the BAR
        types.push_back(static_cast<u8>(d.blk->config_read(at + 3, 1)));
    }
    EXPECT_EQ(types, (std::vector<u8>{1, 3, 4, 2}));
    EXPECT_EQ(d.read(VirtioPci::device_offset, 8), VirtioDriver::sectors);
    EXPECT_EQ(d.read(18, 2), 1u);
}

TEST(VirtioBlk, FeaturesAreTakenOnlyWithVersion1AndOnlyThoseOffered) {
    VirtioDriver d;
    d.write(0, 4, 1);
    EXPECT_EQ(d.read(4, 4), 1u);
    d.write(20, 1, 11);
    EXPECT_EQ(d.status(), 3u);
    d.write(8, 4, 1);
    d.write(12, 4, 1);
    d.write(8, 4, 0);
    d.write(12, 4, 1);  // SIZE_MAX is not offered
    d.write(20, 1, 11);
    EXPECT_EQ(d.status(), 3u);
    d.write(12, 4, 1 << 9);
    d.write(20, 1, 11);
    EXPECT_EQ(d.status(), 11u);
}

TEST(VirtioBlk, ReadsSectorsAndInterrupts) {
    VirtioDriver d;
    d.start();
    d.transfer(0, 3, 1024);
    EXPECT_EQ(d.result(), 0u);
    for (size_t n = 0; n < 1024; ++n)
        ASSERT_EQ(d.at<u8>(data + 0x1000 + n), d.file.byte(3 * 512 + n)) << n;
    EXPECT_EQ(d.at<u16>(VirtioDriver::used + 2), 1u);
    EXPECT_EQ(d.at<u32>(VirtioDriver::used + 4), 0u);
    EXPECT_EQ(d.at<u32>(VirtioDriver::used + 8), 1025u);
    EXPECT_TRUE(d.interrupt());
    EXPECT_EQ(d.read(VirtioPci::interrupt_offset, 1), 1u);
    EXPECT_FALSE(d.interrupt());
    EXPECT_EQ(d.read(VirtioPci::interrupt_offset, 1), 0u);
}

TEST(VirtioBlk, WritesSectorsAndFlushes) {
    VirtioDriver d;
    d.start();
    for (size_t n = 0; n < 512; ++n) d.at<u8>(data + 0x1000 + n) = 0x5a;
    d.transfer(1, 10, 512);
    EXPECT_EQ(d.result(), 0u);
    d.transfer(4, 0, 0);
    EXPECT_EQ(d.result(), 0u);
    EXPECT_EQ(d.file.byte(10 * 512), 0x5a);
    EXPECT_EQ(d.file.byte(10 * 512 + 511), 0x5a);
    EXPECT_NE(d.file.byte(11 * 512), 0x5a);
    EXPECT_NE(d.file.byte(10 * 512 - 1), 0x5a);
}

TEST(VirtioBlk, RefusesWhatLiesBeyondTheDisk) {
    VirtioDriver d;
    d.start();
    for (const u64 sector : {u64{63}, u64{64}, u64{1} << 55, ~u64{0}}) {
        d.transfer(0, sector, 1024);
        EXPECT_EQ(d.result(), 1u) << sector;
        d.transfer(1, sector, 1024);
        EXPECT_EQ(d.result(), 1u) << sector;
    }
    d.transfer(0, 0, 100);  // no whole sector
    EXPECT_EQ(d.result(), 1u);
    d.transfer(99, 0, 512);
    EXPECT_EQ(d.result(), 2u);
    EXPECT_EQ(std::filesystem::file_size(d.file.path), 64u * 512);
    EXPECT_EQ(d.status(), 15u);
}

TEST(VirtioBlk, ALoopOfDescriptorsAsksForAReset) {
    VirtioDriver d;
    d.start();
    d.request({{data, 16, 1, 1}, {data + 0x1000, 512, 1, 0}});
    EXPECT_EQ(d.status() & needs_reset, needs_reset);
    EXPECT_EQ(d.read(VirtioPci::interrupt_offset, 1), 2u);
    d.transfer(0, 0, 512);  // nothing more until then
    EXPECT_EQ(d.result(), 0xee);
    d.start();
    d.at<u32>(VirtioDriver::available) = 0;
    d.transfer(0, 0, 512);
    EXPECT_EQ(d.result(), 0u);
}

TEST(VirtioBlk, RingsOutsideOfMemoryAskForAReset) {
    for (const u64 register_offset : {u64{32}, u64{40}, u64{48}}) {
        VirtioDriver d;
        d.start();
        d.write(20, 1, 0);
        d.start();
        VirtioPci::State state = d.blk->state();
        u64& ring = register_offset == 32   ? state.queues[0].descriptors
                    : register_offset == 40 ? state.queues[0].driver
                                            : state.queues[0].device;
        ring = ~u64{0} - 3;
        d.blk->restore(state);
        d.transfer(0, 0, 512);
        EXPECT_EQ(d.status() & needs_reset, needs_reset) << register_offset;
    }
}

TEST(VirtioBlk, BuffersOutsideOfRamAskForAReset) {
    const u64 epc = VirtioDriver{}.machine->layout().epc_base;
    for (const u64 address : {epc, epc - 256, u64{2 * mib} - 511, u64{2 * mib}, ~u64{0} - 100}) {
        VirtioDriver d;
        d.start();
        d.at<u32>(data) = 1;
        d.at<u64>(data + 8) = 3;
        d.at<u8>(data + 0x100) = 0xee;
        d.request({{data, 16, 1, 1}, {address, 512, 1, 2}, {data + 0x100, 1, 2, 0}});
        EXPECT_EQ(d.status() & needs_reset, needs_reset) << address;
        EXPECT_EQ(d.result(), 0xee);
        EXPECT_EQ(d.file.byte(3 * 512 + 5), u8{3 + (3 * 512 + 5) % 7});
        d.start();
        d.at<u32>(VirtioDriver::available) = 0;
        d.request({{data, 16, 1, 1}, {address, 512, 3, 2}, {data + 0x100, 1, 2, 0}});
        EXPECT_EQ(d.status() & needs_reset, needs_reset) << address;
        EXPECT_EQ(d.machine->epc()->bytes[5], 0u);
    }
}

TEST(VirtioBlk, WithoutBusMasteringNothingMoves) {
    VirtioDriver d;
    d.start();
    d.blk->config_write(4, 2, 2);
    d.transfer(0, 0, 512);
    EXPECT_EQ(d.result(), 0xee);
}

TEST(VirtioBlk, SavedBetweenTwoRequestsItGoesOn) {
    VirtioDriver d;
    d.start();
    d.transfer(0, 1, 512);
    const VirtioPci::State saved = d.blk->state();
    EXPECT_TRUE(VirtioPci::plausible(saved));
    d.write(20, 1, 0);
    d.blk->restore(saved);
    EXPECT_EQ(d.read(VirtioPci::interrupt_offset, 1), 1u);
    d.transfer(0, 2, 512);
    EXPECT_EQ(d.result(), 0u);
    EXPECT_EQ(d.at<u16>(VirtioDriver::used + 2), 2u);
}

/// Random rings, registers and requests: the device answers or asks for a reset, and no byte
/// outside of memory is touched (the sanitizers would say so).
TEST(VirtioBlk, SurvivesHostileDrivers) {
    std::mt19937_64 random{20'190'729};
    VirtioDriver d;
    const auto address = [&] {
        const u64 word = random();
        switch (word % 8) {
            case 0: return word;
            case 1: return u64{2 * mib} - word % 32;
            case 2: return d.machine->layout().epc_base + word % 0x1'0000;
            default: return word >> 8 & 0xffff;
        }
    };
    unsigned served = 0, broken = 0;
    for (unsigned n = 0; n < 20'000; ++n) {
        d.start();
        d.at<u32>(VirtioDriver::available) = 0;
        d.at<u32>(data) = static_cast<u32>(random() % 10);
        d.at<u64>(data + 8) = random() % 70;
        std::vector<test::Descriptor> chain;
        for (u64 left = 1 + random() % 8; left != 0; --left)
            chain.push_back({chain.empty() && random() % 4 != 0 ? data : address(),
                             static_cast<u32>(random() % 3 == 0 ? random() : random() % 2048),
                             static_cast<u16>(random() % 32 == 0 ? random() : random() % 4),
                             static_cast<u16>(random() % 10)});
        if (random() % 4 == 0) {  // rings that lie in each other, or nowhere
            VirtioPci::State state = d.blk->state();
            (random() % 2 == 0 ? state.queues[0].device : state.queues[0].driver) = address();
            d.blk->restore(state);
        }
        d.request(chain);
        for (unsigned more = 0; more < 3; ++more)
            d.write(random() % VirtioPci::bar_size, 1u << random() % 4, random());
        ((d.status() & needs_reset) != 0 ? broken : served) += 1;
    }
    EXPECT_GT(served, 1000u);
    EXPECT_GT(broken, 1000u);
}

TEST(Disk, MustBeAFileOfWholeSectors) {
    test::DiskFile file{2};
    EXPECT_TRUE(Disk::open(file.path).has_value());
    std::filesystem::resize_file(file.path, 1000);
    const auto odd = Disk::open(file.path);
    ASSERT_FALSE(odd.has_value());
    EXPECT_EQ(odd.error().what, "a disk of 1000 bytes");
    EXPECT_EQ(odd.error().right, "a multiple of 512 bytes");
    EXPECT_FALSE(Disk::open(file.path + ".none").has_value());
    EXPECT_FALSE(Disk::open("/").has_value());
}

}  // namespace
}  // namespace postern::platform
