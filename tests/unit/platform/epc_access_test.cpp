// SPDX-License-Identifier: Apache-2.0
// Attempts on the EPC by what is no processor: the devices' DMA, in every way that lies over its
// edges, and the debugger. Reads are ones, writes go nowhere.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "cpu/model.h"
#include "cpu/sgx/epc.h"
#include "platform/debug/memory.h"
#include "platform/device/dma.h"
#include "platform/machine.h"
#include "unit/platform/running_machine.h"

namespace postern::platform {
namespace {

constexpr u8 secret = 0x5e;
constexpr u64 epc_size = 64 * kib;

struct EpcAndDma : testing::Test {
    std::unique_ptr<Machine> machine =
        std::move(*Machine::create(layout_of(2 * mib, epc_size), &cpu::default_model()));
    cpu::Epc& epc = *machine->system().epc;
    Dma dma{machine->system()};

    EpcAndDma() { std::fill_n(epc.bytes, epc.size, secret); }
    void TearDown() override {
        EXPECT_TRUE(std::all_of(epc.bytes, epc.bytes + epc.size, [](u8 b) { return b == secret; }));
    }
};

TEST_F(EpcAndDma, ReadsAreOnes) {
    for (const u64 offset : {u64{0}, u64{1}, page_size - 7, epc_size - 64}) {
        std::array<u8, 64> got{};
        ASSERT_TRUE(dma.read(epc.base + offset, got));
        EXPECT_TRUE(std::ranges::all_of(got, [](u8 b) { return b == 0xff; })) << offset;
    }
}

TEST_F(EpcAndDma, WritesGoNowhere) {
    for (const u64 offset : {u64{0}, u64{1}, page_size - 7, epc_size - 64}) {
        const std::array<u8, 64> bytes{};
        EXPECT_TRUE(dma.write(epc.base + offset, bytes));
    }
}

TEST_F(EpcAndDma, OverItsEndIsRefusedThere) {
    std::array<u8, 64> got{};
    EXPECT_FALSE(dma.read(epc.base + epc_size - 32, got));
    EXPECT_TRUE(std::all_of(got.begin(), got.begin() + 32, [](u8 b) { return b == 0xff; }));
    EXPECT_FALSE(dma.write(epc.base + epc_size - 32, got));
    EXPECT_FALSE(dma.read(epc.base - 32, got));
}

/// No queue, table or ring of a device may lie there in the first place.
TEST_F(EpcAndDma, NothingOfADeviceIsHeldThere) {
    EXPECT_FALSE(dma.holds(epc.base, 16));
    EXPECT_FALSE(dma.holds(epc.base + epc_size - 16, 16));
    EXPECT_FALSE(dma.holds(epc.base - 8, 16));
    EXPECT_FALSE(dma.holds(0, epc.base + 16));
}

TEST(EpcAndDebugger, SeesOnesAndChangesNothing) {
    test::RunningMachine running;
    cpu::Epc& epc = *running.machine->system().epc;
    std::fill_n(epc.bytes, page_size, secret);
    cpu::Cpu& c = running.c();
    // The first of the small pages leads into the EPC.
    running.at<u64>(test::running_at::pt) = epc.base | 7;
    cpu::flush_translations(c);

    std::array<u8, 16> got{};
    EXPECT_EQ(peek(c, test::running_at::small_pages, got), got.size());
    EXPECT_TRUE(std::ranges::all_of(got, [](u8 b) { return b == 0xff; }));
    const std::array<u8, 16> zeros{};
    EXPECT_FALSE(poke(c, test::running_at::small_pages, zeros));
    EXPECT_TRUE(std::all_of(epc.bytes, epc.bytes + page_size, [](u8 b) { return b == secret; }));
}

}  // namespace
}  // namespace postern::platform
