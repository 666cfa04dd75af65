// SPDX-License-Identifier: Apache-2.0
// EPT violations with their qualifications, misconfigurations, and which of them goes first.
#include "arch/vmx/ept.h"
#include "cpu/mmu/ept.h"
#include "unit/cpu/mmu/ept_machine.h"

namespace postern::cpu {
namespace {

// What an access asks of EPT.
static_assert(ept_wanted(EptUse::translation, Access::read, true) == 1);
static_assert(ept_wanted(EptUse::translation, Access::write, false) == 2);
static_assert(ept_wanted(EptUse::translation, Access::execute, true) == 4);
static_assert(ept_wanted(EptUse::entry, Access::read, false) == 1);
static_assert(ept_wanted(EptUse::entry, Access::read, true) == 3);
static_assert(ept_wanted(EptUse::entry_flags, Access::read, false) == 3);
static_assert(ept_wanted(EptUse::pdpte, Access::read, true) == 1);

// The qualification's bits.
constexpr u64 packed(const GuestAccess& a, u64 wanted, u64 permitted) {
    return ept_violation(a, wanted, permitted).to_raw();
}
static_assert(packed({.use = EptUse::pdpte}, 1, 0) == 0x001);
static_assert(packed({.use = EptUse::pdpte}, 1, 6) == 0x031);
static_assert(packed({.use = EptUse::entry}, 3, 1) == 0x08b);
static_assert(packed({.use = EptUse::entry, .user = false}, 1, 4) == 0x0a1);
static_assert(packed({.use = EptUse::translation, .user = false, .writable = false}, 1, 0) ==
              0x181);
static_assert(packed({.use = EptUse::translation, .user = true, .writable = false}, 1, 0) == 0x381);
static_assert(packed({.use = EptUse::translation, .user = false, .writable = true}, 2, 5) == 0x5aa);
static_assert(packed({.use = EptUse::translation, .executable = false}, 4, 3) == 0xf9c);

struct Ept : EptMachine {};

TEST_F(Ept, IdentityMapTranslates) {
    EXPECT_EQ(translate(c, Gva{page + 5}, Access::write).value(), Hpa{page + 5});
}

TEST_F(Ept, AbsentPageReportsTheAccessAndNoPermission) {
    entry(page) = 0;
    expect_violation(Access::read, 0x781);
    expect_violation(Access::write, 0x782);
    expect_violation(Access::execute, 0x784);
}

TEST_F(Ept, PermissionsOfTheEntriesAreReported) {
    permit(page, 1);
    expect_violation(Access::write, 0x78a);
    expect_violation(Access::execute, 0x78c);
    permit(page, 3);
    expect_violation(Access::execute, 0x79c);
    permit(page, 5);
    expect_violation(Access::write, 0x7aa);
}

TEST_F(Ept, ExecuteOnlyPageIsFetchedAndNothingElse) {
    permit(page, 4);
    expect_fine(Access::execute);
    expect_violation(Access::read, 0x7a1);
    expect_violation(Access::write, 0x7a2);
}

TEST_F(Ept, PermissionsOfAllLevelsAreCombined) {
    // Sets the flags of the guest's own tables, which would have to be written otherwise.
    expect_fine(Access::write);
    m.at<u64>(pd) = pt | 5;
    expect_violation(Access::write, 0x7aa);
    permit(page, 3);
    expect_violation(Access::execute, 0x78c);
    expect_fine(Access::read);
}

TEST_F(Ept, AbsentEntryOnAnyLevelLeavesNoPermissionToReport) {
    for (const u64 upper : {pml4, pdpt, pd}) {
        expect_fine(Access::write);
        const u64 saved = std::exchange(m.at<u64>(upper), 0);
        // Nothing is mapped any more: the walk ends at the guest's own top table.
        expect_violation(Access::write, 0x081, guest_at::page_tables);
        m.at<u64>(upper) = saved;
    }
}

TEST_F(Ept, ByteThatWasAccessedIsReported) {
    entry(page) = 0;
    expect_violation(Access::read, 0x781, page + 0x7f8, page + 0x7f8);
}

TEST_F(Ept, GuestPhysicalAddressAndLinearAddressAreToldApart) {
    m.map(other_page, page, pte_present | pte_write);
    entry(page) = 0;
    expect_violation(Access::read, 0x581, page + 0x123, other_page + 0x123);
}

TEST_F(Ept, WhatPagingAllowsAtTheLinearAddressIsReported) {
    constexpr u64 no_execute_page = guest_at::no_execute;
    entry(guest_at::supervisor) = entry(guest_at::read_only) = entry(no_execute_page) = 0;
    expect_violation(Access::read, 0x581, guest_at::supervisor, guest_at::supervisor);
    expect_violation(Access::read, 0x381, guest_at::read_only, guest_at::read_only);
    expect_violation(Access::read, 0xf81, no_execute_page, no_execute_page);
    m.entry(page, 3) &= ~(pte_user | pte_write);
    entry(page) = 0;
    expect_violation(Access::read, 0x181);
}

TEST_F(Ept, SupervisorReachesUserPagesAsUserModeAddresses) {
    entry(page) = 0;
    m.set_cpl(3);
    expect_violation(Access::read, 0x781);
    m.set_cpl(0);
    expect_violation(Access::read, 0x781);
}

TEST_F(Ept, WithoutWpAWriteToAReadOnlyPageReportsIt) {
    c.cr0.set(Cr0::wp, false);
    entry(guest_at::read_only) = 0;
    expect_violation(Access::write, 0x382, guest_at::read_only, guest_at::read_only);
}

TEST_F(Ept, AbsentPageTableOfTheGuestIsNotTheFinalTranslation) {
    const u64 table = guest_at::page_tables;
    entry(table) = 0;
    expect_violation(Access::read, 0x081, table);
    expect_violation(Access::write, 0x081, table);
    expect_violation(Access::execute, 0x081, table);
}

TEST_F(Ept, EntryOfTheGuestsPageTableIsReportedWithItsOffset) {
    const u64 table = m.entry(page, 2) & ~u64{0xfff};
    entry(table) = 0;
    expect_violation(Access::read, 0x081, table + 8 * (page >> 12 & 0x1ff), page + 3);
}

TEST_F(Ept, WithAccessedAndDirtyFlagsAGuestPageTableIsReadAndWritten) {
    const u64 table = guest_at::page_tables;
    expect_fine(Access::write);
    use(eptp_with_ad);
    for (const Access access : {Access::read, Access::write, Access::execute}) {
        permit(table, 1);
        expect_violation(access, 0x08b, table);
        permit(table, 5);
        expect_violation(access, 0x0ab, table);
        entry(table) = 0;
        expect_violation(access, 0x083, table);
    }
}

TEST_F(Ept, WithoutThemAReadOnlyPageTableServesAsLongAsNoFlagIsToBeSet) {
    const u64 table = m.entry(page, 2) & ~u64{0xfff};
    const u64 slot = table + 8 * (page >> 12 & 0x1ff);
    expect_fine(Access::read);
    permit(table, 1);
    expect_fine(Access::read);
    expect_fine(Access::execute);
    expect_violation(Access::write, 0x08b, slot);
    m.at<u64>(slot) |= pte_dirty;
    expect_fine(Access::write);
    m.at<u64>(slot) &= ~pte_accessed;
    expect_violation(Access::read, 0x08b, slot);
    permit(table, 5);
    expect_violation(Access::execute, 0x0ab, slot);
    permit(table, 3);
    expect_fine(Access::execute);
}

TEST_F(Ept, ExecuteOnlyPageTableCannotBeRead) {
    const u64 table = guest_at::page_tables;
    permit(table, 4);
    expect_violation(Access::execute, 0x0a1, table);
}

TEST_F(Ept, WriteWithoutReadIsMisconfigured) {
    permit(page, 2);
    expect_misconfiguration();
    permit(page, 6);
    expect_misconfiguration();
}

TEST_F(Ept, ReservedMemoryTypeIsMisconfigured) {
    for (u64 type = 0; type < 8; ++type) {
        entry(page) = page | type << 3 | rwx;
        if (type == 2 || type == 3 || type == 7)
            expect_misconfiguration();
        else
            expect_fine(Access::read);
    }
}

TEST_F(Ept, ReservedBitsAreMisconfigured) {
    m.system.physical_bits = 40;
    entry(page) = page | u64{1} << 40 | write_back | rwx;
    expect_misconfiguration();
    entry(page) = page | u64{1} << 51 | write_back | rwx;
    expect_misconfiguration();
}

TEST_F(Ept, IgnoredBitsAreIgnored) {
    // Ignore-PAT, 7, A, D, 11:10 and 63:52 of the entry of a 4-KByte page.
    entry(page) = page | write_back | rwx | 0xfc0 | u64{0xfff} << 52;
    expect_fine(Access::write);
    EXPECT_EQ(translate(c, Gva{page + 1}, Access::read).value(), Hpa{page + 1});
}

TEST_F(Ept, ReservedBitsOfEveryUpperLevelAreMisconfigured) {
    for (const u64 upper : {pml4, pdpt, pd}) {
        for (unsigned position = 3; position <= 6; ++position) {
            m.at<u64>(upper) ^= u64{1} << position;
            expect_exit(Access::read, BasicReason::ept_misconfiguration, 0, guest_at::page_tables);
            m.at<u64>(upper) ^= u64{1} << position;
        }
        m.at<u64>(upper) ^= u64{1} << 46;
        expect_exit(Access::read, BasicReason::ept_misconfiguration, 0, guest_at::page_tables);
        m.at<u64>(upper) ^= u64{1} << 46;
    }
    expect_fine(Access::read);
}

TEST_F(Ept, PageSizeBitInThePml4IsMisconfigured) {
    m.at<u64>(pml4) |= large;
    expect_exit(Access::read, BasicReason::ept_misconfiguration, 0, guest_at::page_tables);
}

TEST_F(Ept, LargePagesTranslate) {
    m.at<u64>(pd + 8) = write_back | large | rwx;  // 2 MiB at 0
    m.map(page, 0x20'0000 + guest_at::data, pte_present | pte_write);
    EXPECT_EQ(translate(c, Gva{page + 9}, Access::read).value(), Hpa{guest_at::data + 9});
    m.at<u64>(pdpt + 8) = write_back | large | rwx;  // 1 GiB at 0
    m.map(page, 0x4000'0000 + guest_at::data, pte_present | pte_write);
    EXPECT_EQ(translate(c, Gva{page + 9}, Access::read).value(), Hpa{guest_at::data + 9});
}

TEST_F(Ept, LargePageThatIsNotAlignedIsMisconfigured) {
    m.map(page, 0x20'0000, pte_present | pte_write);
    m.at<u64>(pd + 8) = 0x1000 | write_back | large | rwx;
    expect_exit(Access::read, BasicReason::ept_misconfiguration, 0, 0x20'0000);
    m.map(page, 0x4000'0000, pte_present | pte_write);
    m.at<u64>(pdpt + 8) = 0x20'0000 | write_back | large | rwx;
    expect_exit(Access::read, BasicReason::ept_misconfiguration, 0, 0x4000'0000);
}

TEST_F(Ept, MisconfiguredEntryThatIsNotPresentIsAViolation) {
    entry(page) = ~u64{0} << 3;
    expect_violation(Access::read, 0x781);
}

TEST_F(Ept, MisconfigurationBelowGoesBeforeTheViolationOfAPermissionAbove) {
    m.map(page, 0x20'0000, pte_present | pte_write | pte_user);
    expect_fine(Access::write);
    m.at<u64>(pd + 8) = (pt + 0x1000) | 1;
    entry(0x20'0000) = 0x20'0000 | 7 << 3 | rwx;
    expect_exit(Access::write, BasicReason::ept_misconfiguration, 0, 0x20'0000);
    entry(0x20'0000) = 0;
    expect_violation(Access::write, 0x782, 0x20'0000);
}

TEST_F(Ept, AbsentEntryAboveGoesBeforeTheMisconfigurationBelow) {
    m.map(page, 0x20'0000, pte_present | pte_write | pte_user);
    m.at<u64>(pd + 8) &= ~rwx;  // and still leads there
    entry(0x20'0000) = 0x20'0000 | 7 << 3 | rwx;
    expect_violation(Access::read, 0x781, 0x20'0000);
}

TEST_F(Ept, AddressOfMoreThan48BitsIsMappedByNothing) {
    m.system.physical_bits = 52;
    m.entry(page, 1) = u64{1} << 48 | page | pte_present | pte_user;
    expect_violation(Access::read, 0x381, u64{1} << 48 | page);
}

TEST_F(Ept, PageFaultOfTheGuestGoesBeforeTheViolationOfItsPage) {
    entry(page) = 0;
    m.entry(page, 1) = 0;
    flush_translations(c);
    ASSERT_FALSE(translate(c, Gva{page}, Access::read).ok());
    EXPECT_EQ(c.pending.kind, PendingKind::exception);
    EXPECT_EQ(c.pending.vector, Vector::page_fault);
}

TEST_F(Ept, ViolationOfAPageTableGoesBeforeThePageFaultThatItHolds) {
    const u64 table = m.entry(page, 2) & ~u64{0xfff};
    m.entry(page, 1) = 0;
    entry(table) = 0;
    expect_violation(Access::read, 0x081, table + 8 * (page >> 12 & 0x1ff));
}

TEST_F(Ept, ForbiddenWriteIsAPageFaultEvenIfEptForbidsItToo) {
    permit(guest_at::read_only, 1);
    flush_translations(c);
    ASSERT_FALSE(translate(c, Gva{guest_at::read_only}, Access::write).ok());
    EXPECT_EQ(c.pending.kind, PendingKind::exception);
    EXPECT_EQ(c.pending.error_code, 3u);
}

}  // namespace
}  // namespace postern::cpu
