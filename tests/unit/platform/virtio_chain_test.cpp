// SPDX-License-Identifier: Apache-2.0
// Chains of descriptors, indirect ones too: those a driver may make, and others.
#include "platform/device/virtio_chain.h"

#include <gtest/gtest.h>

#include "cpu/model.h"
#include "unit/platform/virtio_driver.h"

namespace postern::platform {
namespace {

using test::Descriptor;
constexpr u64 table = 0x1000, second = 0x4000, third = 0x6000, data = 0x8000;
constexpr u16 next = 1, writes = 2, indirect = 4;

class Chain : public ::testing::Test {
protected:
    Chain()
        : machine{std::move(*Machine::create(layout_of(2 * mib, 64 * kib), &cpu::default_model()))},
          dma{machine->system()} {}
    void put(u64 at, const std::vector<Descriptor>& descriptors) const {
        for (size_t n = 0; n < descriptors.size(); ++n)
            ASSERT_TRUE(dma.put(at + 16 * n, descriptors[n]));
    }
    bool gather(bool offered = true) {
        request = {};
        return gather_chain(dma, {table, 8, offered}, request);
    }
    /// The one descriptor of the queue refers to `size` bytes at `second`.
    bool gather_second(u32 size, u16 flags = indirect) {
        put(table, {{second, size, flags, 1}});
        return gather();
    }

    std::unique_ptr<Machine> machine;
    Dma dma;
    VirtioRequest request;
};

TEST_F(Chain, ReadableBuffersComeBeforeWritableOnes) {
    put(table, {{data, 16, next, 3}, {}, {}, {data + 64, 5, next, 1}});
    put(table + 16, {{data + 128, 9, writes, 0}});
    ASSERT_TRUE(gather());
    ASSERT_EQ(request.readable.size(), 2u);
    EXPECT_EQ(request.readable[1].address, data + 64);
    EXPECT_EQ(request.readable[1].size, 5u);
    ASSERT_EQ(request.writable.size(), 1u);
    put(table, {{data, 16, next | writes, 1}, {data, 16, 0, 0}});
    EXPECT_FALSE(gather());
}

TEST_F(Chain, AnIndirectTableMayHoldAllOfItOrItsEnd) {
    put(second, {{data, 16, next, 2}, {data + 32, 1, writes, 0}, {data + 16, 4, next, 1}});
    ASSERT_TRUE(gather_second(48));
    EXPECT_EQ(request.readable.size(), 2u);
    EXPECT_EQ(request.writable.size(), 1u);
    put(table, {{data + 64, 7, next, 1}, {second, 48, indirect, 0}});
    ASSERT_TRUE(gather());
    EXPECT_EQ(request.readable.size(), 3u);
    EXPECT_EQ(request.readable[0].size, 7u);
}

TEST_F(Chain, IndirectTablesMustHaveBeenNegotiated) {
    put(second, {{data, 16, 0, 0}});
    put(table, {{second, 16, indirect, 0}});
    EXPECT_TRUE(gather(true));
    EXPECT_FALSE(gather(false));
}

TEST_F(Chain, AnIndirectTableIsTheLastAndHoldsNoOther) {
    put(second, {{third, 16, indirect, 0}});
    put(third, {{data, 16, 0, 0}});
    EXPECT_FALSE(gather_second(16));
    put(second, {{data, 16, 0, 0}});
    EXPECT_TRUE(gather_second(16));
    EXPECT_FALSE(gather_second(16, indirect | next));
}

TEST_F(Chain, AnIndirectTableHasWholeDescriptorsInRam) {
    put(second, {{data, 16, 0, 0}, {data, 16, 0, 0}});
    for (const u32 size : {0u, 8u, 17u, 31u}) EXPECT_FALSE(gather_second(size)) << size;
    for (const u64 address :
         {u64{2 * mib} - 16, u64{2 * mib}, machine->layout().epc_base, ~u64{15}}) {
        put(table, {{address, 32, indirect, 0}});
        EXPECT_FALSE(gather()) << address;
    }
}

TEST_F(Chain, AnythingThatLoopsOrLeavesItsTableIsNone) {
    put(table, {{data, 1, next, 1}, {data, 1, next, 0}});
    EXPECT_FALSE(gather());
    put(table, {{data, 1, next, 8}});
    EXPECT_FALSE(gather());
    put(second, {{data, 1, next, 1}, {data, 1, next, 1}});
    EXPECT_FALSE(gather_second(32));
    put(second, {{data, 1, next, 2}, {data, 1, 0, 0}, {data, 1, 0, 0}});
    EXPECT_FALSE(gather_second(32));
    EXPECT_TRUE(gather_second(48));
}

TEST_F(Chain, ThereAreNoChainsAboveFourGibibytes) {
    const auto size = static_cast<u32>(mib);
    std::vector<Descriptor> all;
    for (u16 n = 1; n <= 128; ++n) all.push_back({data, size, next, n});
    all.back().flags = 0;
    put(second, all);
    EXPECT_TRUE(gather_second(128 * 16));
    EXPECT_EQ(request.readable.size(), 128u);
    machine = std::move(*Machine::create(layout_of(64 * mib, 64 * kib), &cpu::default_model()));
    dma = Dma{machine->system()};
    for (Descriptor& d : all) d.size = 33 * mib;
    put(second, all);
    EXPECT_FALSE(gather_second(128 * 16));
}

}  // namespace
}  // namespace postern::platform
