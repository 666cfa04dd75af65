// SPDX-License-Identifier: Apache-2.0
// EPT below a guest without paging, with 32-bit paging and with PAE paging; loads of PDPTEs.
#include "cpu/mmu/ept.h"
#include "unit/cpu/mmu/ept_machine.h"

namespace postern::cpu {
namespace {

struct EptModes : EptMachine {
    static constexpr u64 directory = 0x8'0000, table = directory + 0x1000;
    static constexpr u64 pdpt_of_guest = directory + 0x2000;
    static constexpr u64 linear = 0x40'3000;  // directory entry 1 (32-bit) or 2, table entry 3

    void leave_ia32e() {
        c.efer.set(Efer::lma, false);
        c.efer.set(Efer::lme, false);
        c.cr4.set(Cr4::pae, false);
        c.cr3 = directory;
    }
    void use_no_paging() {
        leave_ia32e();
        c.cr0.set(Cr0::pg, false);
    }
    void use_bits32() {
        leave_ia32e();
        m.at<u32>(directory + 4) = static_cast<u32>(table) | 7;
        m.at<u32>(table + 12) = static_cast<u32>(page) | 7;
    }
    void use_pae() {
        leave_ia32e();
        c.cr4.set(Cr4::pae);
        c.cr3 = pdpt_of_guest;
        c.pdpte = {directory | 1, 0, 0, 0};
        m.at<u64>(directory + 16) = table | 7;
        m.at<u64>(table + 24) = page | 7;
    }
};

TEST_F(EptModes, WithoutPagingEveryLinearAddressIsAUsersAndWritable) {
    use_no_paging();
    expect_fine(Access::write);
    entry(page) = 0;
    expect_violation(Access::read, 0x781);
    expect_violation(Access::write, 0x782, page + 8, page + 8);
    expect_violation(Access::execute, 0x784);
    entry(page) = page | 3 << 3 | rwx;
    expect_misconfiguration();
}

TEST_F(EptModes, WithoutPagingOnlyThePageItselfGetsFlags) {
    use_no_paging();
    use(eptp_with_ad);
    expect_fine(Access::write);
    EXPECT_EQ(flags(page), accessed | dirty);
    entry(page) &= ~(accessed | dirty);
    for (u64 n = 0; n < 1024; ++n) EXPECT_EQ(flags(n << 12), 0u) << n;
}

TEST_F(EptModes, Bits32TranslatesThroughBothTables) {
    use_bits32();
    expect_fine(Access::write, linear);
    entry(page) = 0;
    expect_violation(Access::read, 0x781, page + 5, linear + 5);
    m.at<u32>(table + 12) &= ~u32{6};
    expect_violation(Access::read, 0x181, page, linear);
    entry(table) = 0;
    expect_violation(Access::read, 0x081, table + 12, linear);
    entry(directory) = 0;
    expect_violation(Access::execute, 0x081, directory + 4, linear);
}

TEST_F(EptModes, Bits32NeedsAWritableTableOnlyToSetFlags) {
    use_bits32();
    expect_fine(Access::read, linear);
    permit(directory, 1);
    permit(table, 1);
    expect_fine(Access::read, linear);
    expect_violation(Access::write, 0x08b, table + 12, linear);
    permit(table, 3);
    expect_fine(Access::write, linear);
    EXPECT_EQ(m.at<u32>(table + 12) & 0x60, 0x60u);
    EXPECT_EQ(m.at<u32>(directory + 4) & 0x60, 0x20u);
}

TEST_F(EptModes, Bits32TablesAreWrittenWithAccessedAndDirtyFlags) {
    use_bits32();
    expect_fine(Access::write, linear);
    use(eptp_with_ad);
    expect_fine(Access::read, linear);
    EXPECT_EQ(flags(directory), accessed | dirty);
    EXPECT_EQ(flags(table), accessed | dirty);
    EXPECT_EQ(flags(page), accessed);
    permit(table, 1);
    expect_violation(Access::read, 0x08b, table + 12, linear);
}

TEST_F(EptModes, Bits32LargePageIsAskedOfEptAt4KBytes) {
    use_bits32();
    c.cr4.set(Cr4::pse);
    m.at<u32>(directory + 4) = 0x83;  // 4 MiB at 0, supervisor
    entry(page) = 0;
    expect_violation(Access::write, 0x582, page, 0x40'0000 + page);
    expect_fine(Access::write, 0x40'0000 + other_page);
}

TEST_F(EptModes, PaeTranslatesFromItsRegisters) {
    use_pae();
    entry(pdpt_of_guest) = 0;  // the walk has no business there
    expect_fine(Access::write, linear);
    entry(page) = 0;
    expect_violation(Access::write, 0x782, page, linear);
    m.at<u64>(table + 24) |= pte_no_execute;
    expect_violation(Access::read, 0xf81, page, linear);
    entry(table) = 0;
    expect_violation(Access::read, 0x081, table + 24, linear);
    entry(directory) = 0;
    expect_violation(Access::read, 0x081, directory + 16, linear);
}

struct PdpteLoad : EptModes {
    std::array<u64, 4> old{1, 2, 3, 4};
    PdpteLoad() {
        use_pae();
        c.pdpte = old;
        m.at<u64>(pdpt_of_guest) = directory | 1;
        expect_fine_load();
        c.pdpte = old;
    }
    void expect_fine_load() {
        EXPECT_TRUE(load_pdptes(c, pdpt_of_guest).ok());
        EXPECT_EQ(c.pdpte[0], directory | 1);
    }
    void expect_violation_of_load(u64 qualification) {
        c.pending = {};
        EXPECT_FALSE(load_pdptes(c, pdpt_of_guest | 0x18).ok());
        expect_pending(BasicReason::ept_violation, qualification, pdpt_of_guest);
        EXPECT_EQ(c.pdpte, old);
    }
};

TEST_F(PdpteLoad, ViolationHasNoLinearAddress) {
    entry(pdpt_of_guest) = 0;
    expect_violation_of_load(0x001);
    permit(pdpt_of_guest, 4);
    expect_violation_of_load(0x021);
    use(eptp_with_ad);
    expect_violation_of_load(0x021);
}

TEST_F(PdpteLoad, MisconfigurationIsFoundThere) {
    entry(pdpt_of_guest) = pdpt_of_guest | 7 << 3 | rwx;
    EXPECT_FALSE(load_pdptes(c, pdpt_of_guest).ok());
    expect_pending(BasicReason::ept_misconfiguration, 0, pdpt_of_guest);
}

TEST_F(PdpteLoad, IsAReadWhateverTheAccessedAndDirtyFlags) {
    permit(pdpt_of_guest, 1);
    use(eptp_with_ad);
    expect_fine_load();
    EXPECT_EQ(flags(pdpt_of_guest), accessed);
}

TEST_F(PdpteLoad, CanMeetAFullLog) {
    log_from(0xffff);
    c.pending = {};
    EXPECT_FALSE(load_pdptes(c, pdpt_of_guest).ok());
    expect_pending(BasicReason::page_modification_log_full, 0, pdpt_of_guest);
    EXPECT_EQ(flags(pdpt_of_guest), 0u);
    EXPECT_EQ(c.pdpte, old);
}

TEST_F(PdpteLoad, ReservedBitIsAGeneralProtectionFaultAndNoExit) {
    m.at<u64>(pdpt_of_guest + 8) = directory | 0x20 | 1;
    c.pending = {};
    EXPECT_FALSE(load_pdptes(c, pdpt_of_guest).ok());
    EXPECT_EQ(c.pending.kind, PendingKind::exception);
    EXPECT_EQ(c.pending.vector, Vector::general_protection);
    EXPECT_EQ(c.pdpte, old);
}

}  // namespace
}  // namespace postern::cpu
