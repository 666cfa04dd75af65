// SPDX-License-Identifier: Apache-2.0
// EPT: violations with their qualifications, misconfigurations, accessed and dirty flags.
// Qualification by SDM 3C, "Exit Qualification for EPT Violations": read 1, write 2, fetch 4; what
// the entries permit, the same moved up by 3; linear address valid 80H; final translation 100H.
#include <gtest/gtest.h>

#include "cpu/event/event.h"
#include "cpu/mmu/access.h"
#include "support/guest_code.h"

namespace postern::cpu {
namespace {

constexpr u64 page = guest_at::spare;
constexpr u64 pml4 = guest_at::ept_tables, pdpt = pml4 + 0x1000, pd = pml4 + 0x2000;
constexpr u64 pt = guest_at::spare + 0x1'0000;  // 2 tables: 4 MiB
constexpr u64 rwx = 7, write_back = 6 << 3, large = 0x80;
constexpr u64 accessed = 0x100, dirty = 0x200;
constexpr u64 eptp_plain = pml4 | 0x1e, eptp_with_ad = pml4 | 0x5e;

class Ept : public testing::Test {
protected:
    GuestCode m;
    Cpu& c = m.c;

    Ept() {
        m.at<u64>(pml4) = pdpt | rwx;
        m.at<u64>(pdpt) = pd | rwx;
        for (u64 n = 0; n < 2; ++n) m.at<u64>(pd + 8 * n) = (pt + n * 0x1000) | rwx;
        for (u64 n = 0; n < 1024; ++n) m.at<u64>(pt + 8 * n) = n << 12 | write_back | rwx;
        use(eptp_plain);
    }
    void use(u64 eptp) {
        c.vmx.ept_pointer = eptp;
        flush_translations(c);
    }
    u64& entry(u64 physical) { return m.at<u64>(pt + 8 * (physical >> 12)); }

    void expect_exit(Access access, BasicReason reason, u64 qualification, u64 physical,
                     u64 linear = page) {
        flush_translations(c);
        c.pending = {};
        ASSERT_FALSE(translate(c, Gva{linear}, access).ok());
        EXPECT_EQ(c.pending.kind, PendingKind::vm_exit);
        EXPECT_EQ(c.pending.reason, reason);
        EXPECT_EQ(c.pending.qualification, qualification);
        EXPECT_EQ(c.pending.guest_physical, physical);
        EXPECT_EQ(c.pending.guest_linear, linear);
    }
    void expect_violation(Access access, u64 qualification, u64 physical = page) {
        expect_exit(access, BasicReason::ept_violation, qualification, physical);
    }
    void expect_misconfiguration() {
        expect_exit(Access::read, BasicReason::ept_misconfiguration, 0, page);
    }
};

TEST_F(Ept, IdentityMapTranslates) {
    EXPECT_EQ(translate(c, Gva{page + 5}, Access::write).value(), Hpa{page + 5});
}

TEST_F(Ept, AbsentPageReportsTheAccessAndNoPermission) {
    entry(page) = 0;
    expect_violation(Access::read, 0x181);
    expect_violation(Access::write, 0x182);
    expect_violation(Access::execute, 0x184);
}

TEST_F(Ept, PermissionsOfTheEntriesAreReported) {
    entry(page) = page | write_back | 1;
    expect_violation(Access::write, 0x18a);
    expect_violation(Access::execute, 0x18c);
    entry(page) = page | write_back | 3;
    expect_violation(Access::execute, 0x19c);
    entry(page) = page | write_back | 4;
    expect_violation(Access::read, 0x1a1);
}

TEST_F(Ept, PermissionsOfAllLevelsAreCombined) {
    // Sets the flags of the guest's own tables, which would have to be written otherwise.
    ASSERT_TRUE(translate(c, Gva{page}, Access::write).ok());
    m.at<u64>(pd) = pt | 5;
    expect_violation(Access::write, 0x1aa);
}

TEST_F(Ept, AbsentPageTableOfTheGuestIsNotTheFinalTranslation) {
    const u64 table = guest_at::page_tables;
    entry(table) = 0;
    expect_violation(Access::write, 0x081, table);
}

TEST_F(Ept, WithAccessedAndDirtyFlagsAGuestPageTableIsWritten) {
    const u64 table = guest_at::page_tables;
    use(eptp_with_ad);
    entry(table) = table | write_back | 1;
    expect_violation(Access::read, 0x08b, table);
}

TEST_F(Ept, SettingAccessedInAReadOnlyGuestPageTableIsAWrite) {
    const u64 table = guest_at::page_tables;
    m.at<u64>(table) &= ~pte_accessed;
    entry(table) = table | write_back | 1;
    expect_violation(Access::read, 0x08a, table);
}

TEST_F(Ept, WriteWithoutReadIsMisconfigured) {
    entry(page) = page | write_back | 2;
    expect_misconfiguration();
    entry(page) = page | write_back | 6;
    expect_misconfiguration();
}

TEST_F(Ept, ReservedMemoryTypeIsMisconfigured) {
    entry(page) = page | 2 << 3 | rwx;
    expect_misconfiguration();
    entry(page) = page | 7 << 3 | rwx;
    expect_misconfiguration();
}

TEST_F(Ept, ReservedBitsAreMisconfigured) {
    m.system.physical_bits = 40;
    entry(page) = page | u64{1} << 40 | write_back | rwx;
    expect_misconfiguration();
}

TEST_F(Ept, PageSizeBitInThePml4IsMisconfigured) {
    m.at<u64>(pml4) |= large;
    flush_translations(c);
    EXPECT_FALSE(translate(c, Gva{page}, Access::read).ok());
    EXPECT_EQ(c.pending.reason, BasicReason::ept_misconfiguration);
}

TEST_F(Ept, LargePageTranslates) {
    m.at<u64>(pd + 8) = write_back | large | rwx;  // 2 MiB at 0
    m.map(page, 0x20'0000 + guest_at::data, pte_present | pte_write);
    EXPECT_EQ(translate(c, Gva{page + 9}, Access::read).value(), Hpa{guest_at::data + 9});
}

TEST_F(Ept, AccessedAndDirtyFlagsAreSetOnlyIfEnabled) {
    ASSERT_TRUE(translate(c, Gva{page}, Access::write).ok());
    EXPECT_EQ(entry(page) & (accessed | dirty), 0u);
    use(eptp_with_ad);
    ASSERT_TRUE(translate(c, Gva{page}, Access::read).ok());
    EXPECT_EQ(entry(page) & (accessed | dirty), accessed);
    EXPECT_EQ(m.at<u64>(pml4) & (accessed | dirty), accessed);
    ASSERT_TRUE(translate(c, Gva{page}, Access::write).ok());
    EXPECT_EQ(entry(page) & (accessed | dirty), accessed | dirty);
    EXPECT_EQ(entry(guest_at::page_tables) & (accessed | dirty), accessed | dirty);
}

TEST_F(Ept, PageFaultOfTheGuestGoesBeforeTheViolationOfItsPage) {
    entry(page) = 0;
    m.entry(page, 1) = 0;
    flush_translations(c);
    ASSERT_FALSE(translate(c, Gva{page}, Access::read).ok());
    EXPECT_EQ(c.pending.kind, PendingKind::exception);
    EXPECT_EQ(c.pending.vector, Vector::page_fault);
}

}  // namespace
}  // namespace postern::cpu
