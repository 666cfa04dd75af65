// SPDX-License-Identifier: Apache-2.0
// What VM entries and VM exits keep, against numbers copied by hand from the manual.
#include "arch/vmx/transition.h"

#include <gtest/gtest.h>

namespace postern {
namespace {

TEST(Transition, KeepsTheBitsOfCr0ThatTheManualLists) {
    constexpr u64 et = 1 << 4, nw = 1 << 29, cd = 1 << 30;
    constexpr u64 reserved = 0xffff'ffff'0000'0000 | 0x1ff8'0000 | 1 << 17 | 0xffc0;
    static_assert(cr0_kept == (et | nw | cd | reserved));
    constexpr u64 all = ~u64{0};
    EXPECT_EQ(merged_cr0(Cr0Word::from_raw(all), 0).to_raw(), cr0_kept);
    EXPECT_EQ(merged_cr0(Cr0Word::from_raw(0), all).to_raw(), 0x8005'002fu);
}

}  // namespace
}  // namespace postern
