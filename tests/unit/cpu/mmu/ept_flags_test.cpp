// SPDX-License-Identifier: Apache-2.0
// Accessed and dirty flags for EPT, and the page-modification log.
#include "unit/cpu/mmu/ept_machine.h"

namespace postern::cpu {
namespace {

struct EptFlags : EptMachine {
    u64 upper_flags() {
        return (m.at<u64>(pml4) | m.at<u64>(pdpt) | m.at<u64>(pd)) & (accessed | dirty);
    }
    void clear_all() {
        for (const u64 upper : {pml4, pdpt, pd}) m.at<u64>(upper) &= ~(accessed | dirty);
        for (u64 n = 0; n < 1024; ++n) m.at<u64>(pt + 8 * n) &= ~(accessed | dirty);
    }
    /// The flags of the pages of the guest's own tables are there already.
    void warm(Access access = Access::write) {
        use(eptp_with_ad);
        expect_fine(access);
    }
};

TEST_F(EptFlags, AreSetOnlyIfEnabled) {
    expect_fine(Access::write);
    EXPECT_EQ(flags(page), 0u);
    EXPECT_EQ(upper_flags(), 0u);
}

TEST_F(EptFlags, ReadSetsAccessedInEveryEntryUsed) {
    use(eptp_with_ad);
    expect_fine(Access::read);
    EXPECT_EQ(flags(page), accessed);
    for (const u64 upper : {pml4, pdpt, pd})
        EXPECT_EQ(m.at<u64>(upper) & (accessed | dirty), accessed);
}

TEST_F(EptFlags, FetchSetsAccessedOnly) {
    use(eptp_with_ad);
    expect_fine(Access::execute);
    EXPECT_EQ(flags(page), accessed);
}

TEST_F(EptFlags, WriteSetsDirtyInTheLeafAlone) {
    use(eptp_with_ad);
    expect_fine(Access::write);
    EXPECT_EQ(flags(page), accessed | dirty);
    EXPECT_EQ(upper_flags(), accessed);
}

TEST_F(EptFlags, LeafOfALargePageHasThem) {
    m.at<u64>(pd + 8) = write_back | large | rwx;
    m.map(page, 0x20'0000 + guest_at::data, pte_present | pte_write);
    use(eptp_with_ad);
    expect_fine(Access::read);
    EXPECT_EQ(m.at<u64>(pd + 8) & (accessed | dirty), accessed);
    expect_fine(Access::write);
    EXPECT_EQ(m.at<u64>(pd + 8) & (accessed | dirty), accessed | dirty);
}

TEST_F(EptFlags, EveryUseOfAGuestPageTableIsAWriteToIt) {
    use(eptp_with_ad);
    expect_fine(Access::read);
    clear_all();
    expect_fine(Access::read);  // no flag of the guest's is left to set
    for (unsigned level = 2; level <= 4; ++level)
        EXPECT_EQ(flags(m.entry(page, level) & bit_mask(51, 12)), accessed | dirty) << level;
    EXPECT_EQ(flags(guest_at::page_tables), accessed | dirty);
}

TEST_F(EptFlags, ViolationOfThePageSetsNoneOfItsOwn) {
    permit(page, 1);
    use(eptp_with_ad);
    expect_violation(Access::write, 0x78a);
    EXPECT_EQ(flags(page), 0u);
}

TEST_F(EptFlags, EntryOnTwoLevelsKeepsBoth) {
    // The PML4 maps itself: its last entry is the leaf of the last page of what EPT translates.
    m.system.physical_bits = 48;
    m.at<u64>(pml4 + 8 * 511) = pml4 | rwx;
    m.map(page, 0xffff'ffff'f000, pte_present | pte_write | pte_user);
    use(eptp_with_ad);
    expect_fine(Access::write);
    EXPECT_EQ(m.at<u64>(pml4 + 8 * 511) & (accessed | dirty), accessed | dirty);
}

TEST_F(EptFlags, ReadThatFilledTheTlbDoesNotHideTheFirstWrite) {
    use(eptp_with_ad);
    ASSERT_TRUE(load(c, Gva{page}, 8).ok());
    EXPECT_EQ(flags(page), accessed);
    ASSERT_TRUE(store(c, Gva{page}, 8, 1).ok());
    EXPECT_EQ(flags(page), accessed | dirty);
}

TEST_F(EptFlags, FlagsClearedWithoutAFlushStayClear) {
    use(eptp_with_ad);
    ASSERT_TRUE(store(c, Gva{page}, 8, 1).ok());
    entry(page) &= ~(accessed | dirty);
    ASSERT_TRUE(store(c, Gva{page}, 8, 2).ok());
    EXPECT_EQ(flags(page), 0u);
    flush_translations(c);
    ASSERT_TRUE(store(c, Gva{page}, 8, 3).ok());
    EXPECT_EQ(flags(page), accessed | dirty);
}

struct PageModificationLog : EptFlags {
    /// One write to `page`, everything else done before.
    void expect_log_full(Access access) {
        expect_exit(access, BasicReason::page_modification_log_full, 0, page);
    }
};

TEST_F(PageModificationLog, PmlIndexMovesDownWhenAFirstWriteIsLogged) {
    warm(Access::read);
    log_from(511);
    expect_fine(Access::write, page + 0x234);
    EXPECT_EQ(logged(511), page);
    EXPECT_EQ(log_index(), 510u);
    expect_fine(Access::write);
    EXPECT_EQ(log_index(), 510u);
}

TEST_F(PageModificationLog, ReadsAreNotLogged) {
    warm(Access::read);
    entry(page) &= ~accessed;
    log_from(511);
    expect_fine(Access::read);
    EXPECT_EQ(flags(page), accessed);
    EXPECT_EQ(log_index(), 511u);
}

TEST_F(PageModificationLog, UsedPageTablesOfTheGuestAreLogged) {
    log_from(511);
    expect_fine(Access::read);
    EXPECT_EQ(log_index(), 507u);
    EXPECT_EQ(logged(511), guest_at::page_tables);
    for (unsigned level = 4; level >= 2; --level)
        EXPECT_EQ(logged(506 + level), m.entry(page, level) & bit_mask(51, 12)) << level;
}

TEST_F(PageModificationLog, LastEntryIsUsedBeforeTheLogIsFull) {
    warm(Access::read);
    log_from(0);
    expect_fine(Access::write);
    EXPECT_EQ(logged(0), page);
    EXPECT_EQ(log_index(), 0xffffu);
}

// covers: page_modification_log_full
TEST_F(PageModificationLog, FullLogExitsBeforeAnyFlagIsSet) {
    warm(Access::read);
    entry(page) &= ~accessed;
    for (const u64 index : {u64{0xffff}, u64{512}}) {
        log_from(index);
        expect_log_full(Access::write);
        EXPECT_EQ(flags(page), 0u);
        EXPECT_EQ(log_index(), index);
    }
}

// covers: page_modification_log_full
TEST_F(PageModificationLog, FullLogExitsForAnAccessedFlagToo) {
    warm(Access::read);
    entry(page) &= ~accessed;
    log_from(0xffff);
    expect_log_full(Access::read);
    EXPECT_EQ(flags(page), 0u);
}

TEST_F(PageModificationLog, FullLogIsNoMatterWhereNoFlagIsToBeSet) {
    warm();
    log_from(0xffff);
    expect_fine(Access::write);
    EXPECT_EQ(log_index(), 0xffffu);
}

TEST_F(PageModificationLog, ViolationGoesBeforeTheFullLog) {
    warm(Access::read);
    permit(page, 1);
    log_from(0xffff);
    expect_violation(Access::write, 0x78a);
}

TEST_F(PageModificationLog, NeedsAccessedAndDirtyFlags) {
    log_from(0xffff);
    use(eptp_plain);
    expect_fine(Access::write);
    EXPECT_EQ(log_index(), 0xffffu);
    EXPECT_EQ(flags(page), 0u);
}

}  // namespace
}  // namespace postern::cpu
