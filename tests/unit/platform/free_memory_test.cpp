// SPDX-License-Identifier: Apache-2.0
// Free ranges: taken, and searched from both ends.
#include "platform/boot/free_memory.h"

#include <gtest/gtest.h>

namespace postern::platform {
namespace {

constexpr u64 everywhere = ~u64{0};

FreeMemory two_ranges() {
    return FreeMemory{std::vector<Range>{{0x800, 0x8800}, {0x2'0000, 0x1'0000}}};
}

TEST(FreeMemory, OnlyRamOfAMemoryMapIsFree) {
    const FreeMemory memory{memory_map(layout_of(64 * mib, 2 * mib))};
    EXPECT_TRUE(memory.has({0, 0x9'f000}));
    EXPECT_FALSE(memory.has({0, 0x9'f001}));
    EXPECT_FALSE(memory.has({0xe'0000, 1}));
    EXPECT_TRUE(memory.has({mib, 63 * mib}));
    EXPECT_FALSE(memory.has({64 * mib, 1}));
    EXPECT_FALSE(memory.has({0x1'0000'0000, 1}));  // EPC
}

TEST(FreeMemory, ARangeThatWrapsIsNotFree) {
    const FreeMemory memory = two_ranges();
    EXPECT_FALSE(memory.has({0x2'0000, everywhere - 0x1'0000}));
    EXPECT_FALSE(memory.has({everywhere, 2}));
}

TEST(FreeMemory, TheLowestPlaceIsAPage) {
    const FreeMemory memory = two_ranges();
    EXPECT_EQ(memory.lowest(0x8000, 0, everywhere), 0x1000u);
    EXPECT_EQ(memory.lowest(0x8001, 0, everywhere), 0x2'0000u);
    EXPECT_EQ(memory.lowest(0x1000, 0x2001, everywhere), 0x3000u);
    EXPECT_EQ(memory.lowest(0x1'0001, 0, everywhere), std::nullopt);
}

TEST(FreeMemory, TheHighestPlaceIsAPage) {
    const FreeMemory memory = two_ranges();
    EXPECT_EQ(memory.highest(0x1001, 0, everywhere), 0x2'e000u);
    EXPECT_EQ(memory.highest(0x1000, 0, 0x2'1800), 0x2'0000u);
    EXPECT_EQ(memory.highest(0x1000, 0, 0x2'0fff), 0x8000u);
    EXPECT_EQ(memory.highest(0x1000, 0x8001, 0x2'0fff), std::nullopt);
}

TEST(FreeMemory, WhatIsTakenIsNotGivenAgain) {
    FreeMemory memory = two_ranges();
    memory.take({0x1000, 0x1800});
    memory.take({0x2'f000, 0x1'0000});
    EXPECT_EQ(memory.lowest(0x1000, 0, everywhere), 0x3000u);
    EXPECT_EQ(memory.highest(0x1000, 0, everywhere), 0x2'e000u);
    EXPECT_TRUE(memory.has({0x800, 0x800}));
    EXPECT_TRUE(memory.has({0x2800, 0x6800}));
    EXPECT_FALSE(memory.has({0x27ff, 2}));
    memory.take({0, everywhere});
    EXPECT_EQ(memory.lowest(1, 0, everywhere), std::nullopt);
}

}  // namespace
}  // namespace postern::platform
