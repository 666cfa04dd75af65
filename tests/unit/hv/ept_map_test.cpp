// SPDX-License-Identifier: Apache-2.0
// The sizes of EPT's pages, what splits them, and when INVEPT is due; the pool beneath.
#include "hv/memory/ept_map.h"

#include <gtest/gtest.h>

#include <array>
#include <utility>

#include "tests/support/fake_port.h"

namespace postern::hv {
namespace {

using test::FakeProcessor;

constexpr u64 mib = 1u << 20;
constexpr u64 gib = 1u << 30;
constexpr u64 pages_2m = u64{1} << 16;
constexpr u64 pages_1g = u64{1} << 17;
constexpr Hpa pool_base{6 * mib};

struct Map {
    explicit Map(u64 capabilities, u32 pool = 64)
        : pages{processor, {pool_base, pool}}, ept{processor, pages} {
        processor.msrs[0x48c] = capabilities;
    }

    /// Walked by hand, from the pointer: the entry that ends the walk, and at which level.
    struct Leaf {
        u64 entry = 0;
        unsigned level = 0;
    };
    [[nodiscard]] Leaf leaf(u64 address) {
        u64 at = ept.pointer() & ~u64{0xfff};
        for (unsigned level = 4;; --level) {
            const u64 index = address >> (12 + 9 * (level - 1)) & 511;
            const u64 entry = read64(at + 8 * index);
            if (entry == 0 || level == 1 || (entry & 0x80) != 0) return {entry, level};
            EXPECT_EQ(entry & 0xfff, 7u) << "a table allows everything";
            at = entry & ~u64{0xfff};
        }
    }
    [[nodiscard]] u64 read64(u64 host) {
        u64 value = 0;
        for (unsigned i = 0; i < 8; ++i) value |= u64{processor.ram.at(host + i)} << 8 * i;
        return value;
    }
    void expect_leaf(u64 address, unsigned level, u64 entry) {
        const Leaf found = leaf(address);
        EXPECT_EQ(found.level, level) << std::hex << address;
        EXPECT_EQ(found.entry, entry) << std::hex << address;
    }

    FakeProcessor processor;
    PageAllocator pages;
    EptMap ept;
};

/// Everything aligned to 1 GiB; 3 GiB and a half of it.
constexpr MemorySlot ram{Gpa{0}, 3 * gib + 512 * mib, SlotKind::ram, Hpa{8 * gib}};

TEST(EptMap, TakesTheLargestPageThatSlotAndProcessorAllow) {
    Map both{pages_2m | pages_1g};
    ASSERT_TRUE(both.ept.map(ram, Gpa{gib + 0x12345}).ok());
    both.expect_leaf(gib + 0x12345, 3, 9 * gib | 0xb7);
    EXPECT_EQ(both.ept.mapped_level(Gpa{2 * gib - 1}), 3u);
    EXPECT_EQ(both.ept.mapped_level(Gpa{2 * gib}), 0u);
    // The last GiB has no whole page of 1 GiB.
    ASSERT_TRUE(both.ept.map(ram, Gpa{3 * gib + 5 * mib}).ok());
    both.expect_leaf(3 * gib + 5 * mib, 2, 11 * gib + 4 * mib + 0xb7);

    Map small{pages_2m};
    ASSERT_TRUE(small.ept.map(ram, Gpa{gib + 0x12345}).ok());
    small.expect_leaf(gib + 0x12345, 2, 9 * gib | 0xb7);

    Map none{0};
    ASSERT_TRUE(none.ept.map(ram, Gpa{gib + 0x12345}).ok());
    none.expect_leaf(gib + 0x12345, 1, 9 * gib + 0x12000 + 0x37);

    // Without 2-MByte pages, 1-GByte pages alone are not used.
    Map odd{pages_1g};
    ASSERT_TRUE(odd.ept.map(ram, Gpa{gib}).ok());
    EXPECT_EQ(odd.ept.mapped_level(Gpa{gib}), 1u);
}

TEST(EptMap, BothAddressesHaveToBeAligned) {
    struct Case {
        MemorySlot slot;
        u64 address;
        unsigned level;
    };
    for (const Case& c : {
             Case{{Gpa{0}, 4 * gib, SlotKind::ram, Hpa{2 * mib}}, gib, 2},
             Case{{Gpa{0}, 4 * gib, SlotKind::ram, Hpa{0x1000}}, gib, 1},
             Case{{Gpa{0x1000}, 4 * mib, SlotKind::ram, Hpa{0x1000}}, 2 * mib, 2},
             Case{{Gpa{0x1000}, 4 * mib, SlotKind::ram, Hpa{0x1000}}, 0x5000, 1},
             Case{{Gpa{0x1000}, 4 * mib, SlotKind::ram, Hpa{0x1000}}, 4 * mib, 1},
             Case{{Gpa{0}, 4 * mib, SlotKind::rom, Hpa{0}}, 0x5000, 2},
             Case{{Gpa{0}, 4 * mib, SlotKind::epc, Hpa{0}}, 0x5000, 1},
         }) {
        Map map{pages_2m | pages_1g};
        ASSERT_TRUE(map.ept.map(c.slot, Gpa{c.address}).ok());
        EXPECT_EQ(map.ept.mapped_level(Gpa{c.address}), c.level) << std::hex << c.address;
        const u64 behind = c.slot.host.raw() + (c.address - c.slot.base.raw());
        const u64 within = c.address & ((u64{1} << (12 + 9 * (c.level - 1))) - 1);
        EXPECT_EQ(map.leaf(c.address).entry & bit_mask(51, 12), behind - within);
    }
}

TEST(EptMap, ARomsLargePageIsNotWritable) {
    Map map{pages_2m};
    const MemorySlot rom{Gpa{0}, 2 * mib, SlotKind::rom, Hpa{4 * mib}};
    ASSERT_TRUE(map.ept.map(rom, Gpa{0x3000}).ok());
    map.expect_leaf(0x3000, 2, 4 * mib | 0xb5);
    ASSERT_TRUE(map.ept.forget(Gpa{0x3000}));
    map.expect_leaf(0x4000, 1, 4 * mib + 0x4000 + 0x35);
}

TEST(EptMap, ForgettingOnePageOfALargeOneLeavesAllOthersMapped) {
    Map map{pages_2m | pages_1g};
    ASSERT_TRUE(map.ept.map(ram, Gpa{0}).ok());
    EXPECT_EQ(map.processor.invepts, 0u) << "nothing was cached";
    const u32 left = map.pages.left();
    const u64 page = 700 * mib + 0x7000;
    ASSERT_TRUE(map.ept.forget(Gpa{page}));
    EXPECT_GE(map.processor.invepts, 1u);
    EXPECT_EQ(left - map.pages.left(), 2u) << "a table of 2-MByte pages, one of 4-KByte pages";
    EXPECT_FALSE(map.ept.is_mapped(Gpa{page}));
    map.expect_leaf(page, 1, 0);
    map.expect_leaf(page - 1, 1, 8 * gib + page - 0x1000 + 0x37);
    map.expect_leaf(page + 0x1000, 1, 8 * gib + page + 0x1000 + 0x37);
    map.expect_leaf(0, 2, 8 * gib | 0xb7);
    map.expect_leaf(698 * mib, 2, 8 * gib + 698 * mib + 0xb7);
    map.expect_leaf(702 * mib, 2, 8 * gib + 702 * mib + 0xb7);
    EXPECT_FALSE(map.ept.forget(Gpa{page})) << "it has none any more";

    // It comes back alone, and nothing else changes.
    const size_t invepts = map.processor.invepts;
    ASSERT_TRUE(map.ept.map(ram, Gpa{page}).ok());
    map.expect_leaf(page, 1, 8 * gib + page + 0x37);
    EXPECT_EQ(map.processor.invepts, invepts);
}

TEST(EptMap, MarkingADeviceSplitsToo) {
    Map map{pages_2m};
    ASSERT_TRUE(map.ept.map(ram, Gpa{0}).ok());
    ASSERT_TRUE(map.ept.mark_device(Gpa{0x5000}).ok());
    EXPECT_EQ(map.leaf(0x5000).entry & 7, 6u) << "writable, not readable";
    EXPECT_FALSE(map.ept.is_mapped(Gpa{0x5000}));
    EXPECT_EQ(map.ept.mapped_level(Gpa{0x6000}), 1u);
    EXPECT_GE(map.processor.invepts, 1u);
    // And memory over a device's page is one page.
    ASSERT_TRUE(map.ept.map(ram, Gpa{0x5000}).ok());
    map.expect_leaf(0x5000, 1, 8 * gib + 0x5000 + 0x37);
}

TEST(EptMap, ASecondTouchOfTheSamePageChangesNothing) {
    Map map{pages_2m};
    ASSERT_TRUE(map.ept.map(ram, Gpa{0x5000}).ok());
    const u32 left = map.pages.left();
    ASSERT_TRUE(map.ept.map(ram, Gpa{0x9000}).ok());
    EXPECT_EQ(map.ept.mapped_level(Gpa{0x9000}), 2u);
    EXPECT_EQ(map.pages.left(), left);
    EXPECT_EQ(map.processor.invepts, 0u);
    // Another page behind the same address is a change.
    const MemorySlot other{Gpa{0x9000}, page_size, SlotKind::ram, Hpa{0x7000}};
    ASSERT_TRUE(map.ept.map(other, Gpa{0x9000}).ok());
    map.expect_leaf(0x9000, 1, 0x7037);
    map.expect_leaf(0xa000, 1, 8 * gib + 0xa000 + 0x37);
    EXPECT_GE(map.processor.invepts, 1u);
}

TEST(EptMap, GenerationsCountTranslationsThatChangeAndNoSplits) {
    Map map{pages_2m};
    auto grows = [&, before = map.ept.generation()]() mutable {
        return std::exchange(before, map.ept.generation()) < map.ept.generation();
    };
    ASSERT_TRUE(map.ept.map(ram, Gpa{0}).ok());
    EXPECT_FALSE(grows()) << "there was nothing before";
    EXPECT_TRUE(map.ept.forget(Gpa{0x6000}));
    EXPECT_TRUE(grows());
    ASSERT_TRUE(map.ept.map(ram, Gpa{0x6000}).ok());
    EXPECT_FALSE(grows()) << "back again";
    const MemorySlot other{Gpa{0x9000}, page_size, SlotKind::ram, Hpa{0x7000}};
    ASSERT_TRUE(map.ept.map(other, Gpa{0x9000}).ok());
    EXPECT_TRUE(grows()) << "another page";
    ASSERT_TRUE(map.ept.mark_device(Gpa{0xa000}).ok());
    EXPECT_TRUE(grows());
    EXPECT_FALSE(map.ept.forget(Gpa{gib}));
    EXPECT_TRUE(grows()) << "it was mapped by nobody here, but perhaps by whoever derives";
    EptMap restored{map.processor, map.pages};
    restored.restore(map.ept.state());
    EXPECT_EQ(restored.generation(), map.ept.generation());
}

TEST(EptMap, ASplitAloneIsNoNewGeneration) {
    Map map{pages_2m | pages_1g, 4};  // the root, the table of the large page, two splits
    ASSERT_TRUE(map.ept.map(ram, Gpa{gib}).ok());
    const u64 before = map.ept.generation();
    const MemorySlot part{Gpa{gib}, page_size, SlotKind::ram, Hpa{0x7000}};
    EXPECT_TRUE(map.ept.map(part, Gpa{gib}).ok());
    EXPECT_EQ(map.ept.generation(), before + 1) << "the page; not its two splits";
}

TEST(EptMap, AnExhaustedPoolFailsAndLeavesThePagesAsTheyAre) {
    Map map{pages_2m, 3};  // the root and two tables
    ASSERT_TRUE(map.ept.map(ram, Gpa{0}).ok());
    EXPECT_EQ(map.pages.left(), 0u);
    EXPECT_FALSE(map.ept.mark_device(Gpa{0x5000}).ok());
    EXPECT_FALSE(map.ept.forget(Gpa{0x5000}));
    map.expect_leaf(0x5000, 2, 8 * gib | 0xb7);
    EXPECT_FALSE(map.ept.map(ram, Gpa{gib}).ok());
}

TEST(EptMap, IsRestoredFromItsRoot) {
    Map map{pages_2m};
    ASSERT_TRUE(map.ept.map(ram, Gpa{4 * mib}).ok());
    EptMap other{map.processor, map.pages};
    EXPECT_FALSE(other.is_mapped(Gpa{4 * mib}));
    other.restore(map.ept.state());
    EXPECT_EQ(other.pointer(), map.ept.pointer());
    EXPECT_EQ(other.mapped_level(Gpa{4 * mib}), 2u);
    EXPECT_EQ(other.state(), map.ept.state());
}

TEST(PageAllocator, HandsOutWhatWasGivenBackZeroed) {
    FakeProcessor processor;
    PageAllocator pages{processor, {pool_base, 3}};
    const Hpa first = pages.take().value();
    const Hpa second = pages.take().value();
    EXPECT_EQ(first, pool_base);
    EXPECT_EQ(second, pool_base + page_size);
    processor.ram.at(first.raw() + 100) = 7;
    pages.give_back(first);
    pages.give_back(second);
    EXPECT_EQ(pages.left(), 3u);
    EXPECT_EQ(pages.take().value(), second);
    EXPECT_EQ(pages.take().value(), first);
    EXPECT_EQ(processor.ram.at(first.raw() + 100), 0);
    EXPECT_EQ(processor.ram.at(first.raw()), 0) << "the list's own word too";
    EXPECT_EQ(pages.take().value(), pool_base + 2 * page_size);
    EXPECT_FALSE(pages.take().ok());
}

TEST(PageAllocator, HandsOutNothingFromOutsideThePool) {
    FakeProcessor processor;
    PageAllocator pages{processor, {pool_base, 3}};
    const Hpa first = pages.take().value();
    const Hpa second = pages.take().value();
    pages.give_back(first);
    pages.give_back(second);
    processor.ram.at(second.raw() + 1) = 0x70;  // what leads to the first
    EXPECT_TRUE(pages.take().ok());
    EXPECT_FALSE(pages.take().ok());
}

TEST(PageAllocator, RestoresWhatCanBeAndRefusesTheRest) {
    FakeProcessor processor;
    PageAllocator pages{processor, {pool_base, 8}};
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(pages.take().ok());
    pages.give_back(pool_base);
    PageAllocator other{processor, {pool_base, 8}};
    ASSERT_TRUE(other.restore(pages.state()));
    EXPECT_EQ(other.left(), 6u);
    EXPECT_EQ(other.take().value(), pool_base);
    const auto before = other.state();
    for (const PageAllocator::State& wrong : {
             PageAllocator::State{.used = 9},
             PageAllocator::State{.used = 2, .given_back = 3, .first = pool_base.raw()},
             PageAllocator::State{.used = 2, .given_back = 1, .first = 0},
             PageAllocator::State{.used = 2, .given_back = 1, .first = pool_base.raw() + 8},
             PageAllocator::State{.used = 2, .given_back = 1, .first = pool_base.raw() + 0x2000},
             PageAllocator::State{.used = 2, .given_back = 0, .first = pool_base.raw()},
         }) {
        EXPECT_FALSE(other.restore(wrong));
        EXPECT_EQ(other.state(), before);
    }
}

}  // namespace
}  // namespace postern::hv
