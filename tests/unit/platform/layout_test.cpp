// SPDX-License-Identifier: Apache-2.0
// Physical memory: limits, the hole below 4 GiB, a guest's RAM within a machine's.
#include "platform/layout.h"

#include <gtest/gtest.h>

namespace postern::platform {
namespace {

TEST(Layout, SmallMemoryLiesBelowTheHoleAndEpcAtFourGib) {
    const Layout layout = layout_of(64 * mib, 2 * mib);
    EXPECT_EQ(layout.low_size, 0x400'0000u);
    EXPECT_EQ(layout.high_size, 0u);
    EXPECT_EQ(layout.epc_base, 0x1'0000'0000u);
    EXPECT_EQ(layout.epc_size, 0x20'0000u);
}

TEST(Layout, WhatExceedsThreeGibLiesAtFourGibAndEpcAboveIt) {
    const Layout layout = layout_of(3 * gib + 5 * mib, 64 * mib);
    EXPECT_EQ(layout.low_size, 0xc000'0000u);
    EXPECT_EQ(layout.high_size, 0x50'0000u);
    EXPECT_EQ(layout.epc_base, 0x1'0060'0000u);  // 5 MiB, rounded up to 2 MiB
}

TEST(Layout, ARangeAcrossTheHoleIsNoRam) {
    const Layout layout = layout_of(4 * gib, 0);
    EXPECT_TRUE(layout.is_ram(0xbfff'f000, 0x1000));
    EXPECT_FALSE(layout.is_ram(0xbfff'f000, 0x1001));
    EXPECT_TRUE(layout.is_ram(0x1'0000'0000, 0x4000'0000));
    EXPECT_FALSE(layout.is_ram(0x1'0000'0000, 0x4000'0001));
    EXPECT_FALSE(layout.is_ram(0x1000, ~u64{0}));
}

TEST(Layout, LimitsNameTheOption) {
    EXPECT_EQ(checked_layout(mib, 0).error().where, "--memory");
    EXPECT_EQ(checked_layout(65 * gib, 0).error().where, "--memory");
    EXPECT_EQ(checked_layout(64 * mib + 1, 0).error().where, "--memory");
    EXPECT_EQ(checked_layout(64 * mib, 4096).error().where, "--epc");
    EXPECT_EQ(checked_layout(64 * mib, 17 * gib).error().where, "--epc");
    EXPECT_TRUE(checked_layout(64 * mib, 0).has_value());
}

TEST(Layout, AGuestIsCutWhereEitherMemoryHasItsHole) {
    const Layout guest = layout_of(4 * gib, 0);
    const Layout machine = layout_of(4 * gib + 32 * mib, 0);
    const auto stretches = place_in(guest, machine, 32 * mib);
    ASSERT_EQ(stretches.size(), 3u);
    EXPECT_EQ(stretches[0].guest, 0u);
    EXPECT_EQ(stretches[0].machine, 0x200'0000u);
    EXPECT_EQ(stretches[0].size, 0xbe00'0000u);
    EXPECT_EQ(stretches[1].guest, 0xbe00'0000u);
    EXPECT_EQ(stretches[1].machine, 0x1'0000'0000u);
    EXPECT_EQ(stretches[1].size, 0x200'0000u);
    EXPECT_EQ(stretches[2].guest, 0x1'0000'0000u);
    EXPECT_EQ(stretches[2].machine, 0x1'0200'0000u);
    EXPECT_EQ(stretches[2].size, 0x4000'0000u);
}

}  // namespace
}  // namespace postern::platform
