// SPDX-License-Identifier: Apache-2.0
// Attempts by translations that the processor still holds: made outside and used inside, made
// inside and used outside, of data and of code, by every way in and out. The page tables are
// changed here without any of the flushes that an honest operating system makes.
#include <gtest/gtest.h>

#include "cpu/event/event.h"
#include "cpu/mmu/access.h"
#include "unit/cpu/sgx/attack_machine.h"

namespace postern::cpu::sgx::attack {
namespace {

constexpr u64 all_rights = pte_present | pte_write | pte_user;
constexpr u64 decoy = guest_at::data + 0x8000;  // RAM that takes the enclave's place
constexpr u64 decoy_word = 0x0ddb'a11d'ecaf'bad5;
constexpr u64 global = 0x100;

struct Translations : testing::Test {
    /// The enclave leaves at once.
    AttackMachine m{exit_bytes()};

    void lead(u64 linear, u64 physical, u64 flags = all_rights) {
        m.entry(linear, 1) = physical | flags;
    }
    u64 read(u64 linear) { return load(m.c, Gva{linear}, 8).value(); }
    void expect_own() { EXPECT_EQ(read(data_at), secret_word); }
    void expect_ones() { EXPECT_EQ(read(data_at), ones); }
    void expect_sgx_fault(u64 linear) {
        EXPECT_FALSE(load(m.c, Gva{linear}, 8).ok());
        EXPECT_EQ(m.c.pending.vector, Vector::page_fault);
        EXPECT_EQ(m.c.pending.error_code, 0x8005u);
        m.c.pending = {};
    }
    void leave_by_eexit() {
        EXPECT_EQ(m.go_on().fault, std::nullopt);
        ASSERT_FALSE(m.c.enclave.active);
        m.set_plain_state(outside);
        m.c.event = {};
    }
    void resume() {
        m.write(outside, resume_bytes());
        m.c.rip = outside;
        m.go_on(4);
        ASSERT_TRUE(m.c.enclave.active);
    }
};

TEST_F(Translations, MadeOutsideAreNotUsedInside) {
    m.at<u64>(decoy) = decoy_word;
    m.set_cpl(3);
    lead(data_at, decoy);
    ASSERT_EQ(read(data_at), decoy_word);
    lead(data_at, physical_of(data_page));
    ASSERT_EQ(read(data_at), decoy_word) << "the processor holds the old translation";
    m.go_inside();
    expect_own();
}

TEST_F(Translations, MadeOutsideForAGlobalPageAreNotUsedInside) {
    m.c.cr4.set(Cr4::pge);
    flush_translations(m.c);
    m.at<u64>(decoy) = decoy_word;
    m.set_cpl(3);
    lead(data_at, decoy, all_rights | global);
    ASSERT_EQ(read(data_at), decoy_word);
    lead(data_at, physical_of(data_page), all_rights | global);
    m.go_inside();
    expect_own();
    asynchronous_exit(m.c, {});
    expect_ones();
}

TEST_F(Translations, MadeInsideAreNotUsedOutsideAfterEexit) {
    m.go_inside();
    expect_own();
    ASSERT_TRUE(store(m.c, Gva{data_at}, 8, secret_word).ok());
    leave_by_eexit();
    const Bytes before = m.epc_bytes();
    for (const u32 cpl : {3u, 0u}) {
        m.c.cpl = cpl;
        select_tlb(m.c);
        expect_ones();
        ASSERT_TRUE(store(m.c, Gva{data_at}, 8, 0).ok());
    }
    EXPECT_EQ(m.epc_bytes(), before);
}

TEST_F(Translations, MadeInsideAreNotUsedOutsideAfterAnAex) {
    m.go_inside();
    expect_own();
    asynchronous_exit(m.c, {});
    expect_ones();
}

TEST_F(Translations, MadeInsideAreNotUsedByTheHandlerOfItsFault) {
    // MOV RAX, [data_at]; UD2: the exception's handler runs at CPL 0.
    AttackMachine machine{{0x48, 0x8b, 0x04, 0x25, 0x00, 0x40, 0x00, 0x40, 0x0f, 0x0b}};
    const GuestStop stop = machine.run_outside(3, enter_bytes());
    ASSERT_EQ(stop.fault, (GuestFault{Vector::invalid_opcode}));
    EXPECT_EQ(machine.c.cpl, 0u);
    EXPECT_EQ(stop.state.rip, aep);
    EXPECT_NE(stop.state.gpr[rax], secret_word);
    EXPECT_EQ(load(machine.c, Gva{data_at}, 8).value(), ones);
}

TEST_F(Translations, WithAlignmentChecksAreForgottenToo) {
    m.c.cr0.set(Cr0::am);
    m.go_inside();
    m.c.flags.set(Rflag::ac);
    select_tlb(m.c);
    expect_own();
    asynchronous_exit(m.c, {});
    ASSERT_TRUE(m.c.flags.has(Rflag::ac));
    expect_ones();
    resume();
    m.c.flags.set(Rflag::ac);
    select_tlb(m.c);
    expect_own();
}

TEST_F(Translations, OfPagesSwappedMeanwhileAreNotUsedAfterAnAex) {
    m.go_inside();
    expect_own();
    // While it is inside nobody flushes: what it has may still be used.
    lead(data_at, physical_of(both_page));
    expect_own();
    asynchronous_exit(m.c, {});
    resume();
    expect_sgx_fault(data_at);
}

TEST_F(Translations, ToRamInPlaceOfAPageAreRefusedAfterAnEntry) {
    lead(data_at, decoy);
    m.at<u64>(decoy) = decoy_word;
    m.set_cpl(3);
    ASSERT_EQ(read(data_at), decoy_word);
    m.go_inside();
    expect_sgx_fault(data_at);
}

TEST_F(Translations, OfABlockedPageLiveOnInsideAndNoLonger) {
    m.go_inside();
    expect_own();
    m.entry_of(data_page).blocked = true;
    expect_own();
    asynchronous_exit(m.c, {});
    resume();
    expect_sgx_fault(data_at);
}

TEST_F(Translations, OfAPageRemovedAreGone) {
    m.go_inside();
    expect_own();
    EXPECT_FALSE(m.encls(EnclsLeaf::eremove, 0, window_of(data_page))) << "somebody is inside";
    ASSERT_TRUE(m.entry_of(data_page).valid);
    asynchronous_exit(m.c, {});
    ASSERT_TRUE(m.encls(EnclsLeaf::eremove, 0, window_of(data_page)));
    ASSERT_FALSE(m.entry_of(data_page).valid);
    expect_ones();
    EXPECT_EQ(read(window_of(data_page)), ones);
    resume();
    expect_sgx_fault(data_at);
}

/// The page's next owner sees what EADD gave it, and nobody the secret.
TEST_F(Translations, OfAPageThatAnotherEnclaveHasNowAreGone) {
    m.go_inside();
    expect_own();
    asynchronous_exit(m.c, {});
    ASSERT_TRUE(m.encls(EnclsLeaf::eremove, 0, window_of(data_page)));
    m.epc.secs(other_secs_page).attributes.flags.set(SgxAttribute::init, false);
    m.add(other_secs_page, data_page, other_range + page_size, 0x203, Bytes(page_size, 0x77));
    resume();
    expect_sgx_fault(data_at);
    m.entry(data_at, 1) = physical_of(data_page) | all_rights;
    flush_translations(m.c);
    expect_sgx_fault(data_at);
}

TEST_F(Translations, OfOtherPcidsAreForgottenAtEntryAndExit) {
    m.c.cr4.set(Cr4::pcide);
    const auto use_pcid = [&](u64 pcid) {
        m.c.cr3 = guest_at::page_tables | pcid;
        select_space(m.c);
    };
    m.at<u64>(decoy) = decoy_word;
    m.set_cpl(3);
    for (const u64 pcid : {1u, 2u}) {
        use_pcid(pcid);
        lead(data_at, decoy);
        ASSERT_EQ(read(data_at), decoy_word);
    }
    lead(data_at, physical_of(data_page));
    use_pcid(2);
    ASSERT_EQ(read(data_at), decoy_word) << "kept across the change";
    m.go_inside();
    expect_own();
    asynchronous_exit(m.c, {});
    expect_ones();
    use_pcid(1);
    EXPECT_NE(read(data_at), secret_word);
}

TEST_F(Translations, OfAnyVpidAreForgottenAtEntryAndExit) {
    for (const u16 vpid : {u16{0}, u16{5}}) {
        m.c.vmx.vpid = vpid;
        flush_translations(m.c);
        m.go_inside();
        expect_own();
        asynchronous_exit(m.c, {});
        expect_ones();
        m.c.vmx.vpid = 7;
        select_space(m.c);
        expect_ones();
    }
}

TEST_F(Translations, ByALargePageAreCheckedPageByPage) {
    // The window's 2 MiB, by one entry: EPC page n lies at n * 4096.
    m.entry(window, 2) = epc_physical | all_rights | pte_large;
    flush_translations(m.c);
    for (const u32 cpl : {0u, 3u}) {
        m.set_cpl(cpl);
        for (u64 page = 0; page < epc_pages; ++page) EXPECT_EQ(read(window_of(page)), ones);
    }
    // ELRANGE by one entry, too: only a page that belongs there is reached.
    m.epc.secs(secs_page).attributes.flags.set(SgxAttribute::init, false);
    m.add(secs_page, 15, range + 15 * page_size, 0x203, Bytes(page_size, secret));
    m.epc.secs(secs_page).attributes.flags.set(SgxAttribute::init);
    m.go_inside();
    m.entry(range, 2) = epc_physical | all_rights | pte_large;
    flush_translations(m.c);
    EXPECT_EQ(read(range + 15 * page_size), secret_word);
    expect_sgx_fault(data_at);
    for (u64 page = 0; page < 15; ++page) expect_sgx_fault(range + page * page_size);
    asynchronous_exit(m.c, {});
    EXPECT_EQ(read(range + 15 * page_size), ones);
}

TEST_F(Translations, OfRightsTakenAwayLiveOnInsideAndNoLonger) {
    m.go_inside();
    ASSERT_TRUE(store(m.c, Gva{data_at}, 8, 1).ok());
    m.entry_of(data_page).w = false;
    EXPECT_TRUE(store(m.c, Gva{data_at}, 8, 2).ok());
    asynchronous_exit(m.c, {});
    resume();
    EXPECT_FALSE(store(m.c, Gva{data_at}, 8, 3).ok());
    EXPECT_EQ(m.c.pending.error_code, 0x8007u);
    EXPECT_EQ(m.epc.at<u64>(data_page * page_size), 2u);
}

}  // namespace
}  // namespace postern::cpu::sgx::attack
