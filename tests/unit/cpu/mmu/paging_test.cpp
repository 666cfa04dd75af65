// SPDX-License-Identifier: Apache-2.0
// 4-level paging: access rights, reserved bits, accessed and dirty flags. Error codes are written
// as SDM 3A, "Page-Fault Exceptions", numbers their bits: P 1, W 2, U 4, RSVD 8, I/D 10H.
#include <gtest/gtest.h>

#include "cpu/event/event.h"
#include "cpu/mmu/access.h"
#include "support/guest_code.h"

namespace postern::cpu {
namespace {

constexpr u64 page = guest_at::spare, other_page = guest_at::spare + 0x1000;
constexpr unsigned pd_level = 2, pdpt_level = 3, pml4_level = 4;

struct Want {
    bool fine;
    u32 error_code = 0;
};

class Paging : public testing::Test {
protected:
    GuestCode m;
    Cpu& c = m.c;

    void as_user() { m.set_cpl(3); }
    u64& pte(u64 linear = page) { return m.entry(linear, 1); }

    void expect(Access access, Want want, u64 at = page, Accessor as = Accessor::current) {
        flush_translations(c);
        c.pending = {};
        const bool fine = translate(c, Gva{at}, access, as).ok();
        ASSERT_EQ(fine, want.fine);
        if (fine) return;
        EXPECT_EQ(c.pending.kind, PendingKind::exception);
        EXPECT_EQ(c.pending.vector, Vector::page_fault);
        EXPECT_EQ(c.pending.error_code, want.error_code);
        EXPECT_EQ(c.pending.address, at);
    }
};

TEST_F(Paging, PageThatIsNotPresentFaultsWithoutP) {
    pte() = 0;
    expect(Access::read, {false, 0});
    expect(Access::write, {false, 2});
    expect(Access::execute, {false, 0x10});
    as_user();
    expect(Access::read, {false, 4});
    expect(Access::write, {false, 6});
    expect(Access::execute, {false, 0x14});
}

TEST_F(Paging, FetchBitIsClearWithoutNxeAndSmep) {
    pte() = 0;
    c.efer.set(Efer::nxe, false);
    m.entry(guest_at::no_execute, 1) &= ~pte_no_execute;
    expect(Access::execute, {false, 0});
    c.cr4.set(Cr4::smep);
    expect(Access::execute, {false, 0x10});
}

TEST_F(Paging, ReadOnlyPageIsWritableToTheSupervisorWithoutWp) {
    pte() &= ~pte_write;
    expect(Access::write, {false, 3});
    c.cr0.set(Cr0::wp, false);
    expect(Access::write, {true});
    as_user();
    expect(Access::write, {false, 7});
}

TEST_F(Paging, RightsOfAllLevelsAreCombined) {
    m.entry(page, pd_level) &= ~pte_write;
    expect(Access::write, {false, 3});
    m.entry(page, pd_level) |= pte_write;
    m.entry(page, pml4_level) &= ~pte_user;
    as_user();
    expect(Access::read, {false, 5});
    m.entry(page, pml4_level) |= pte_user;
    m.entry(page, pdpt_level) |= pte_no_execute;
    expect(Access::read, {true});
    expect(Access::execute, {false, 0x15});
}

TEST_F(Paging, AForbiddenKeyIsToldWhateverElseForbids) {
    c.cr4.set(Cr4::pke);
    pte() |= u64{1} << 59;  // key 1
    c.pkru = 0b0100;        // access disabled
    as_user();
    expect(Access::read, {false, 0x25});
    pte() &= ~pte_write;
    expect(Access::write, {false, 0x27});
    c.pkru = 0b1000;  // write disabled
    expect(Access::write, {false, 0x27});
    expect(Access::read, {true});
    pte() &= ~pte_user;  // keys are for user pages only
    expect(Access::write, {false, 7});
}

TEST_F(Paging, NxIsReservedWithoutNxe) {
    pte() |= pte_no_execute;
    expect(Access::read, {true});
    c.efer.set(Efer::nxe, false);
    expect(Access::read, {false, 9});
    as_user();
    expect(Access::write, {false, 0xf});
}

TEST_F(Paging, PhysicalAddressBitsBeyondTheWidthAreReserved) {
    m.system.physical_bits = 40;
    pte() |= u64{1} << 40;
    expect(Access::read, {false, 9});
}

TEST_F(Paging, LargePageOf32BitPagingReservesAddressBitsBeyondTheWidth) {
    c.efer.set(Efer::lma, false);
    c.cr4.set(Cr4::pae, false);
    c.cr4.set(Cr4::pse);
    c.cr3 = other_page;
    u32& pde = m.at<u32>(other_page);
    const u32 present = pte_large | pte_present;
    pde = present | u32{1} << 17;  // address bit 36
    expect(Access::read, {true}, 0x1234);
    m.system.physical_bits = 36;
    expect(Access::read, {false, 9}, 0x1234);
    pde = present | u32{1} << 16;
    expect(Access::read, {true}, 0x1234);
    m.system.physical_bits = 48;
    pde = present | u32{1} << 20;
    expect(Access::read, {true}, 0x1234);
    pde = present | u32{1} << 21;
    expect(Access::read, {false, 9}, 0x1234);
}

TEST_F(Paging, PageSizeBitOfPml4IsReserved) {
    m.entry(page, pml4_level) |= pte_large;
    expect(Access::read, {false, 9});
}

TEST_F(Paging, LargePageWithLowAddressBitsIsReserved) {
    u64& pde = m.entry(0x20'0000, pd_level);
    pde = 0x20'0000 | pte_large | pte_present | pte_write;
    expect(Access::read, {true}, 0x20'1234);
    pde |= 0x2000;
    expect(Access::read, {false, 9}, 0x20'1234);
}

TEST_F(Paging, LargePageTranslatesItsOffset) {
    m.entry(0x20'0000, pd_level) = pte_large | pte_present;
    Gpa physical;
    ASSERT_TRUE(translate(c, Gva{0x21'2345}, Access::read, Accessor::current, &physical).ok());
    EXPECT_EQ(physical, Gpa{0x1'2345});
}

TEST_F(Paging, SmepRefusesSupervisorFetchesFromUserPages) {
    expect(Access::execute, {true});
    c.cr4.set(Cr4::smep);
    expect(Access::execute, {false, 0x11});
    pte() &= ~pte_user;
    expect(Access::execute, {true});
}

TEST_F(Paging, SmapRefusesSupervisorDataAccessesUnlessAcIsSet) {
    c.cr4.set(Cr4::smap);
    expect(Access::read, {false, 1});
    expect(Access::write, {false, 3});
    expect(Access::execute, {true});
    c.flags.set(Rflag::ac);
    expect(Access::read, {true});
    expect(Access::read, {false, 1}, page, Accessor::supervisor);
    as_user();
    expect(Access::read, {true});
}

TEST_F(Paging, SmapWithAcFillsAnArrayOfItsOwn) {
    c.cr4.set(Cr4::smap);
    c.flags.set(Rflag::ac);
    flush_translations(c);
    ASSERT_TRUE(load(c, Gva{page}, 8).ok());
    c.flags.set(Rflag::ac, false);
    select_tlb(c);
    EXPECT_FALSE(c.tlb->translates(page, tlb_reads));
    c.flags.set(Rflag::ac);
    select_tlb(c);
    EXPECT_TRUE(c.tlb->translates(page, tlb_reads));
    c.flags.set(Rflag::ac, false);
    select_tlb(c);
    EXPECT_FALSE(load(c, Gva{page}, 8).ok());
}

TEST_F(Paging, ImplicitAccessesOfCpl3AreSupervisorAccesses) {
    pte() &= ~pte_user;
    as_user();
    expect(Access::read, {false, 5});
    expect(Access::read, {true}, page, Accessor::supervisor);
}

TEST_F(Paging, AccessedIsSetOnAllLevelsAndDirtyOnTheLeafOfAWrite) {
    for (unsigned level = 1; level <= pml4_level; ++level)
        m.entry(page, level) &= ~(pte_accessed | pte_dirty);
    expect(Access::read, {true});
    for (unsigned level = 1; level <= pml4_level; ++level)
        EXPECT_EQ(m.entry(page, level) & (pte_accessed | pte_dirty), pte_accessed) << level;
    expect(Access::write, {true});
    EXPECT_EQ(pte() & pte_dirty, pte_dirty);
    for (unsigned level = 2; level <= pml4_level; ++level)
        EXPECT_EQ(m.entry(page, level) & pte_dirty, 0u) << level;
}

TEST_F(Paging, RefusedWriteLeavesDirtyClear) {
    pte() &= ~(pte_write | pte_dirty);
    expect(Access::write, {false, 3});
    EXPECT_EQ(pte() & pte_dirty, 0u);
}

TEST_F(Paging, ReadThatFilledTheTlbDoesNotHideTheFirstWrite) {
    pte() &= ~pte_dirty;
    flush_translations(c);
    ASSERT_TRUE(load(c, Gva{page}, 8).ok());
    EXPECT_EQ(pte() & pte_dirty, 0u);
    ASSERT_TRUE(store(c, Gva{page}, 8, 1).ok());
    EXPECT_EQ(pte() & pte_dirty, pte_dirty);
}

TEST_F(Paging, StoreAcrossPagesReachesBoth) {
    pte(page) = other_page | pte_present | pte_write;
    pte(other_page) = page | pte_present | pte_write;
    flush_translations(c);
    ASSERT_TRUE(store(c, Gva{page + 0xffd}, 8, 0x8877'6655'4433'2211).ok());
    EXPECT_EQ(m.at<u8>(other_page + 0xffd), 0x11);
    EXPECT_EQ(m.at<u8>(other_page + 0xfff), 0x33);
    EXPECT_EQ(m.at<u8>(page), 0x44);
    EXPECT_EQ(m.at<u8>(page + 4), 0x88);
    EXPECT_EQ(load(c, Gva{page + 0xffd}, 8).value(), 0x8877'6655'4433'2211u);
}

TEST_F(Paging, StoreAcrossPagesThatFaultsWritesNothing) {
    pte(other_page) = 0;
    flush_translations(c);
    EXPECT_FALSE(store(c, Gva{page + 0xffd}, 8, ~u64{0}).ok());
    EXPECT_EQ(c.pending.address, other_page);
    EXPECT_EQ(m.at<u8>(page + 0xffd), 0);
}

TEST_F(Paging, NotCanonicalIsAGeneralProtectionFault) {
    EXPECT_FALSE(load(c, Gva{u64{1} << 47}, 1).ok());
    EXPECT_EQ(c.pending.vector, Vector::general_protection);
    EXPECT_EQ(c.pending.error_code, 0u);
}

}  // namespace
}  // namespace postern::cpu
