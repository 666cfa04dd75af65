// SPDX-License-Identifier: Apache-2.0
// Bus masters of a guest: through its memory map, to its memory and nowhere else.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "cpu/model.h"
#include "platform/device/dma.h"
#include "platform/machine.h"

namespace postern::platform {
namespace {

constexpr u64 guest_epc = 0x1000'0000;

/// The guest's 4 MiB lie in two pieces of the machine's memory, the second one first.
struct GuestDma : testing::Test {
    std::unique_ptr<Machine> machine =
        std::move(*Machine::create(layout_of(16 * mib, 64 * kib), &cpu::default_model()));
    DmaMap map{{{0, 8 * mib, 2 * mib}, {2 * mib, 4 * mib, 2 * mib}}, guest_epc, 64 * kib};
    Dma dma{machine->system(), &map};
    u8* ram = machine->ram();
};

TEST_F(GuestDma, AddressesAreTheGuests) {
    ram[8 * mib + 5] = 0x11;
    ram[5] = 0x22;
    u8 got = 0;
    ASSERT_TRUE(dma.get(5, got));
    EXPECT_EQ(got, 0x11);
    ASSERT_TRUE(dma.put<u8>(2 * mib, 0x33));
    EXPECT_EQ(ram[4 * mib], 0x33);
}

TEST_F(GuestDma, ATransferCrossesFromOnePieceToTheNext) {
    const std::array<u8, 4> bytes{1, 2, 3, 4};
    ASSERT_TRUE(dma.write(2 * mib - 2, bytes));
    EXPECT_EQ(ram[10 * mib - 1], 2);
    EXPECT_EQ(ram[4 * mib], 3);
    EXPECT_EQ(ram[10 * mib], 0);
    EXPECT_TRUE(dma.holds(2 * mib - 2, 4));
}

TEST_F(GuestDma, WhatIsNotTheGuestsIsRefused) {
    u8 byte = 0;
    for (const u64 outside : {4 * mib, 8 * mib, 16 * mib, ~u64{0}}) {
        EXPECT_FALSE(dma.get(outside, byte)) << outside;
        EXPECT_FALSE(dma.put<u8>(outside, 1)) << outside;
        EXPECT_FALSE(dma.holds(outside, 1)) << outside;
    }
    EXPECT_FALSE(dma.holds(4 * mib - 1, 2));
    EXPECT_FALSE(dma.holds(0, ~u64{0}));
    EXPECT_TRUE(std::all_of(ram, ram + 16 * mib, [](u8 b) { return b == 0; }));
}

TEST_F(GuestDma, TheEpcIsAtTheGuestsAddressAndReadsAsOnes) {
    std::array<u8, 8> got{};
    ASSERT_TRUE(dma.read(guest_epc + 100, got));
    EXPECT_TRUE(std::ranges::all_of(got, [](u8 b) { return b == 0xff; }));
    EXPECT_TRUE(dma.write(guest_epc, std::array<u8, 8>{}));
    EXPECT_FALSE(dma.holds(guest_epc, 8));
    EXPECT_FALSE(dma.read(machine->epc()->base, got));
}

}  // namespace
}  // namespace postern::platform
