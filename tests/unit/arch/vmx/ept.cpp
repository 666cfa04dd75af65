// SPDX-License-Identifier: Apache-2.0
// EPT entries, the EPT pointer, and what is a misconfiguration. SDM 3C, "EPT Misconfigurations".
#include "arch/vmx/ept.h"

#include <gtest/gtest.h>

namespace postern {
namespace {

constexpr u64 wb = 6 << 3;
constexpr u64 large = 1 << 7;

static_assert(is_ept_misconfigured(0x2, 1, true, 46));   // write only
static_assert(is_ept_misconfigured(0x6, 1, true, 46));   // write and execute
static_assert(!is_ept_misconfigured(0x0, 1, true, 46));  // not present: a violation instead
static_assert(!is_ept_misconfigured(wb | 0x4, 1, true, 46));
static_assert(is_ept_misconfigured(wb | 0x4, 1, false, 46));  // execute only, unsupported
static_assert(!is_ept_misconfigured(wb | 0x7, 1, true, 46));

TEST(EptMisconfiguration, PermissionsMatterAtEveryLevel) {
    for (unsigned level = 1; level <= 5; ++level) {
        EXPECT_TRUE(is_ept_misconfigured(0x2, level, true, 52)) << level;
        EXPECT_TRUE(is_ept_misconfigured(0x6, level, true, 52)) << level;
        EXPECT_TRUE(is_ept_misconfigured(0x4, level, false, 52)) << level;
        EXPECT_FALSE(is_ept_misconfigured(0x4, level, true, 52)) << level;
        for (const u64 good : {0x1u, 0x3u, 0x5u, 0x7u})
            EXPECT_FALSE(is_ept_misconfigured(good, level, false, 52)) << level << good;
    }
}

TEST(EptMisconfiguration, ANonPresentEntryIsNeverOne) {
    EXPECT_FALSE(is_ept_misconfigured(0xffff'ffff'ffff'fff8, 1, false, 36));
    EXPECT_FALSE(is_ept_misconfigured(0x000f'0000'0000'0000, 4, true, 46));
}

TEST(EptMisconfiguration, MemoryTypesTwoThreeAndSevenAreReservedInALeaf) {
    for (u64 type = 0; type < 8; ++type) {
        const bool bad = type == 2 || type == 3 || type == 7;
        EXPECT_EQ(is_ept_misconfigured(0x7 | type << 3, 1, true, 46), bad) << type;
        EXPECT_EQ(is_ept_misconfigured(0x7 | large | type << 3, 2, true, 46), bad) << type;
        EXPECT_EQ(is_ept_misconfigured(0x7 | large | type << 3, 3, true, 46), bad) << type;
    }
}

TEST(EptMisconfiguration, AddressBitsAboveTheWidthAreReserved) {
    EXPECT_TRUE(is_ept_misconfigured(wb | 0x7 | u64{1} << 46, 1, true, 46));
    EXPECT_FALSE(is_ept_misconfigured(wb | 0x7 | u64{1} << 45, 1, true, 46));
    EXPECT_FALSE(is_ept_misconfigured(wb | 0x7 | u64{1} << 51, 1, true, 52));
    EXPECT_FALSE(is_ept_misconfigured(wb | 0x7 | u64{1} << 52, 1, true, 46));  // ignored
    EXPECT_TRUE(is_ept_misconfigured(0x7 | u64{1} << 51, 4, true, 46));
}

TEST(EptMisconfiguration, AnEntryThatPointsToATableHasBits63Reserved) {
    for (unsigned position = 3; position <= 6; ++position) {
        const u64 entry = 0x7 | u64{1} << position;
        EXPECT_TRUE(is_ept_misconfigured(entry, 4, true, 46)) << position;
        EXPECT_TRUE(is_ept_misconfigured(entry, 3, true, 46)) << position;
        EXPECT_TRUE(is_ept_misconfigured(entry, 2, true, 46)) << position;
    }
    EXPECT_TRUE(is_ept_misconfigured(0x7 | large, 4, true, 46));
    EXPECT_TRUE(is_ept_misconfigured(0x7 | large, 5, true, 46));
    EXPECT_FALSE(is_ept_misconfigured(wb | 0x7 | 0x40, 1, true, 46));  // ignore PAT
}

TEST(EptMisconfiguration, ALargePageMustBeAligned) {
    EXPECT_TRUE(is_ept_misconfigured(wb | large | 0x7 | 0x1000, 2, true, 46));
    EXPECT_TRUE(is_ept_misconfigured(wb | large | 0x7 | 0x10'0000, 2, true, 46));
    EXPECT_FALSE(is_ept_misconfigured(wb | large | 0x7 | 0x20'0000, 2, true, 46));
    EXPECT_TRUE(is_ept_misconfigured(wb | large | 0x7 | 0x2000'0000, 3, true, 46));
    EXPECT_FALSE(is_ept_misconfigured(wb | large | 0x7 | 0x4000'0000, 3, true, 46));
    EXPECT_FALSE(is_ept_misconfigured(0x7 | 0x1000, 2, true, 46));
}

TEST(EptMisconfiguration, AOneGibPageNeedsSupport) {
    EXPECT_FALSE(is_ept_misconfigured(wb | large | 0x7, 3, {.one_gib_pages = true}));
    EXPECT_TRUE(is_ept_misconfigured(wb | large | 0x7, 3, {.one_gib_pages = false}));
    EXPECT_FALSE(is_ept_misconfigured(0x7, 3, {.one_gib_pages = false}));
}

TEST(EptMisconfiguration, ModeBasedExecuteMakesBit10APermission) {
    EXPECT_FALSE(is_ept_misconfigured(0x400, 1, {.execute_only_supported = false}));
    EXPECT_TRUE(is_ept_misconfigured(
        0x400, 1, {.execute_only_supported = false, .mode_based_execute = true}));
    EXPECT_FALSE(is_ept_misconfigured(0x400, 1, {.mode_based_execute = true}));
}

TEST(EptMisconfiguration, TheMmioMarkIsOne) {
    // Write and execute without read, as hypervisors mark MMIO pages.
    EXPECT_TRUE(is_ept_misconfigured(0xfe00'0000 | 0x6, 1, true, 46));
}

TEST(EptEntry, BuildsTablesAndPages) {
    constexpr EptFlags rwx{EptBit::read, EptBit::write, EptBit::execute};
    EXPECT_EQ(ept_rwx, 7u);
    EXPECT_EQ(EptEntry::table(0x1234'5000, rwx).to_raw(), 0x1234'5007u);
    EXPECT_EQ(EptEntry::page(1, 0x1234'5000, rwx, MemoryType::wb).to_raw(), 0x1234'5037u);
    EXPECT_EQ(EptEntry::page(2, 0x1220'0000, rwx, MemoryType::wb).to_raw(), 0x1220'00b7u);
    EXPECT_EQ(EptEntry::page(2, 0x1220'0000, {EptBit::read}, MemoryType::uc).to_raw(),
              0x1220'0081u);
    EXPECT_TRUE(EptEntry::from_raw(0x81).is_leaf(2));
    EXPECT_FALSE(EptEntry::from_raw(0x01).is_leaf(2));
    EXPECT_TRUE(EptEntry::from_raw(0x01).is_leaf(1));
    EXPECT_FALSE(EptEntry::from_raw(0x81).is_leaf(4));
}

TEST(EptEntry, TheAddressIsWithoutFlags) {
    constexpr auto entry = EptEntry::from_raw(0x8000'0012'3456'7fb7);
    EXPECT_EQ(entry.address(1, 46), 0x12'3456'7000u);
    EXPECT_EQ(entry.address(2, 46), 0x12'3440'0000u);
    EXPECT_EQ(entry.address(4, 46), 0x12'3456'7000u);
    EXPECT_EQ(EptEntry::from_raw(0x000f'f000'0000'1007).address(1, 46), 0x3000'0000'1000u);
}

TEST(EptEntry, FlagsStandWhereTheManualPutsThem) {
    EXPECT_EQ(EptFlags{EptBit::accessed}.to_raw(), 0x100u);
    EXPECT_EQ(EptFlags{EptBit::dirty}.to_raw(), 0x200u);
    EXPECT_EQ(EptFlags{EptBit::user_execute}.to_raw(), 0x400u);
    EXPECT_EQ(EptFlags{EptBit::suppress_ve}.to_raw(), 0x8000'0000'0000'0000u);
}

TEST(Eptp, RoundTrips) {
    EXPECT_EQ(Eptp::of(0x10'0000).to_raw(), 0x10'001eu);
    EXPECT_EQ(Eptp::of(0x10'0000, MemoryType::uc, 5, true).to_raw(), 0x10'0060u);
    constexpr auto eptp = Eptp::from_raw(0x10'005e);
    EXPECT_EQ(eptp.memory_type(), MemoryType::wb);
    EXPECT_EQ(eptp.levels(), 4u);
    EXPECT_TRUE(eptp.accessed_and_dirty());
    EXPECT_EQ(eptp.root(), 0x10'0000u);
    EXPECT_FALSE(eptp.has_reserved_bits(46));
    EXPECT_TRUE(Eptp::from_raw(0x10'011e).has_reserved_bits(46));
    EXPECT_TRUE(Eptp::from_raw(u64{1} << 46 | 0x1e).has_reserved_bits(46));
}

}  // namespace
}  // namespace postern
