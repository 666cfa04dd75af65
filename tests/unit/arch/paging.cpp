// SPDX-License-Identifier: Apache-2.0
// Page-table entries, indices, reserved bits, canonical addresses.
#include "arch/paging.h"

#include <gtest/gtest.h>

namespace postern {
namespace {

static_assert(PageEntry{PageEntryBit::p, PageEntryBit::rw, PageEntryBit::us}.to_raw() == 0x7);
static_assert(PageEntry{PageEntryBit::a, PageEntryBit::d}.to_raw() == 0x60);
static_assert(PageEntry{PageEntryBit::ps}.to_raw() == 0x80);
static_assert(PageEntry{PageEntryBit::pat} == PageEntry{PageEntryBit::ps});
static_assert(PageEntry{PageEntryBit::large_pat}.to_raw() == 0x1000);
static_assert(PageEntry{PageEntryBit::nx}.to_raw() == 0x8000'0000'0000'0000);

static_assert(page_bytes(1) == 0x1000 && page_bytes(2) == 0x20'0000);
static_assert(page_bytes(3) == 0x4000'0000);

// The lowest and highest addresses of both halves, and the first beyond.
static_assert(is_canonical(0) && is_canonical(0x0000'7fff'ffff'ffff));
static_assert(!is_canonical(0x0000'8000'0000'0000) && !is_canonical(0xffff'7fff'ffff'ffff));
static_assert(is_canonical(0xffff'8000'0000'0000) && is_canonical(0xffff'ffff'ffff'ffff));
static_assert(is_canonical(0x00ff'ffff'ffff'ffff, 57));
static_assert(!is_canonical(0x0100'0000'0000'0000, 57));
static_assert(!is_canonical(0xfeff'ffff'ffff'ffff, 57));
static_assert(is_canonical(0xff00'0000'0000'0000, 57));
static_assert(!is_canonical(Gva{0x0000'8000'0000'0000}) && is_canonical(Gva{0x1000}, 57));

static_assert(cr3_table(0x8000'0000'1234'5018) == 0x1234'5000);
static_assert(cr3_reserved_mask(46) == 0xffff'c000'0000'0000);

TEST(Paging, IndicesAreNineBitsEach) {
    // 5 indices of 1FFH, 0AAH, 155H, 001H, 100H from level 5 down.
    constexpr u64 address = u64{0x1ff} << 48 | u64{0xaa} << 39 | u64{0x155} << 30 |
                            u64{0x001} << 21 | u64{0x100} << 12 | 0xabc;
    EXPECT_EQ(linear_index(address, 5), 0x1ffu);
    EXPECT_EQ(linear_index(address, 4), 0x0aau);
    EXPECT_EQ(linear_index(address, 3), 0x155u);
    EXPECT_EQ(linear_index(address, 2), 0x001u);
    EXPECT_EQ(linear_index(Gva{address}, 1), 0x100u);
}

TEST(Paging, AddressOfTablesAndPages) {
    constexpr auto raw = PageEntry::from_raw(0x8000'0012'3456'7fe7);
    EXPECT_EQ(page_address(raw, 1), 0x12'3456'7000u);
    EXPECT_EQ(page_address(raw, 2), 0x12'3440'0000u);
    EXPECT_EQ(page_address(raw, 3), 0x12'0000'0000u);
    EXPECT_EQ(page_address(raw, 4), 0x12'3456'7000u);
    EXPECT_EQ(page_address(PageEntry::from_raw(0xffff'ffff'ffff'f001), 1, 36), 0xf'ffff'f000u);
}

TEST(Paging, LeavesAreKnownByLevel) {
    constexpr PageEntry with_ps{PageEntryBit::p, PageEntryBit::ps};
    constexpr PageEntry without{PageEntryBit::p};
    EXPECT_TRUE(is_page(without, 1));
    EXPECT_TRUE(is_page(with_ps, 2));
    EXPECT_FALSE(is_page(without, 2));
    EXPECT_TRUE(is_page(with_ps, 3));
    EXPECT_FALSE(is_page(with_ps, 4));
}

TEST(Paging, ReservedBits) {
    const auto reserved = [](u64 raw, unsigned level, PagingRules rules = {46, true, true}) {
        return has_reserved_bits(PageEntry::from_raw(raw), level, rules);
    };
    EXPECT_FALSE(reserved(0x1234'5067, 1));
    EXPECT_TRUE(reserved(u64{1} << 46 | 1, 1));
    EXPECT_FALSE(reserved(u64{1} << 45 | 1, 1));
    EXPECT_TRUE(reserved(u64{1} << 51 | 1, 4));
    EXPECT_FALSE(reserved(u64{0x7ff} << 52 | 1, 1));  // ignored, and the protection key
    EXPECT_TRUE(reserved(u64{1} << 63 | 1, 1, {46, false, true}));
    EXPECT_FALSE(reserved(u64{1} << 63 | 1, 1));
    EXPECT_TRUE(reserved(0x81, 4));
    EXPECT_TRUE(reserved(0x81, 5));
    EXPECT_FALSE(reserved(0x81, 1));  // PAT
}

TEST(Paging, LargePagesMustBeAligned) {
    const auto reserved = [](u64 raw, unsigned level, bool one_gib = true) {
        return has_reserved_bits(PageEntry::from_raw(raw), level, {46, true, one_gib});
    };
    EXPECT_FALSE(reserved(0x1081, 2));  // bit 12 is PAT
    EXPECT_TRUE(reserved(0x2081, 2));
    EXPECT_TRUE(reserved(0x10'0081, 2));
    EXPECT_FALSE(reserved(0x20'0081, 2));
    EXPECT_FALSE(reserved(0x2001, 2));  // points to a table
    EXPECT_TRUE(reserved(0x2000'0081, 3));
    EXPECT_FALSE(reserved(0x4000'0081, 3));
    EXPECT_TRUE(reserved(0x4000'0081, 3, false));
    EXPECT_FALSE(reserved(0x4000'0001, 3, false));
}

TEST(Paging, ProtectionKey) {
    EXPECT_EQ(protection_key(PageEntry::from_raw(u64{0xa} << 59 | u64{1} << 63 | 1)), 0xau);
}

}  // namespace
}  // namespace postern
