// SPDX-License-Identifier: Apache-2.0
// ENCLS[ELDB] and ENCLS[ELDU]: the way back of each kind of page, and what they refuse.
#include <gtest/gtest.h>

#include <string>

#include "unit/cpu/sgx/two_processors.h"

namespace postern::cpu::sgx {
namespace {

constexpr Outcome mac_mismatch = error(9);
constexpr u64 new_secs = 12;  // where a SECS is loaded

TEST(Eldu, BringsARegularPageBackToAnotherPlace) {
    PagingMachine m;
    m.build_with_array();
    const auto content = m.content(data_page);
    m.evict(data_page);
    ASSERT_EQ(m.eldu(free_page, elrange + data_offset), success);
    EXPECT_EQ(m.content(free_page), content);
    const EpcmEntry& entry = m.entry(free_page);
    EXPECT_TRUE(entry.valid && entry.r && entry.w && !entry.x);
    EXPECT_EQ(entry.page_type, PageType::reg);
    EXPECT_EQ(entry.enclave_address, elrange + data_offset);
    EXPECT_EQ(entry.enclave_secs, secs_page);
    EXPECT_FALSE(entry.blocked || entry.pending || entry.modified || entry.pr);
    EXPECT_EQ(m.children(), 5u);
    EXPECT_EQ(m.slot(0), 0u);
}

TEST(Eldu, ChangesThePageItsSlotAndTheCountOfChildrenOnly) {
    PagingMachine m;
    m.build_with_array();
    m.evict(data_page);
    const State before{m};
    ASSERT_EQ(m.eldu(free_page, elrange + data_offset), success);
    std::memset(m.epc.page(free_page), 0, page_size);
    m.entry(free_page) = {};
    m.slot(0) = 1;
    --m.epc.hidden(secs_page).children;
    EXPECT_TRUE(same_epc(State{m}, before));
}

TEST(Eldu, RestoresEveryBitOfThePagesState) {
    for (bool EpcmEntry::* const bit :
         {&EpcmEntry::r, &EpcmEntry::w, &EpcmEntry::x, &EpcmEntry::pending, &EpcmEntry::modified,
          &EpcmEntry::pr}) {
        PagingMachine m;
        m.build_with_array();
        m.entry(data_page).r = m.entry(data_page).w = false;
        m.entry(data_page).*bit = true;
        m.evict(data_page);
        ASSERT_EQ(m.eldu(free_page, elrange + data_offset), success);
        EXPECT_TRUE(m.entry(free_page).*bit);
        const EpcmEntry& e = m.entry(free_page);
        EXPECT_EQ(e.r + e.w + e.x + e.pending + e.modified + e.pr, 1);
    }
}

TEST(Eldb, BlocksThePageAndElduDoesNot) {
    PagingMachine m;
    m.build_with_array();
    m.evict(data_page, 0);
    m.evict(code_page, 1);
    EXPECT_EQ(m.eldb(free_page, elrange + data_offset, window_of(secs_page), 0), success);
    EXPECT_TRUE(m.entry(free_page).blocked);
    EXPECT_EQ(m.eldu(code_page, elrange + code_offset, window_of(secs_page), 1), success);
    EXPECT_FALSE(m.entry(code_page).blocked);
}

/// Nobody can hold a translation of a page that came back blocked.
TEST(Eldb, NeedsNoEtrackBeforeTheNextEwb) {
    PagingMachine m;
    m.build_with_array();
    m.evict(data_page);
    EXPECT_EQ(m.eldb(free_page, elrange + data_offset), success);
    EXPECT_EQ(m.ewb(free_page), success);
    EXPECT_EQ(m.eldu(free_page, elrange + data_offset), success);
    EXPECT_EQ(m.ewb(free_page), error(10));
    EXPECT_EQ(m.eblock(free_page), success);
    EXPECT_EQ(m.ewb(free_page), error(11));
}

TEST(Eldb, NeedsAnEtrackBeforeTheNextEwbByChoice) {
    PagingMachine m;
    m.system.choices.ewb_after_eldb_wants_etrack = true;
    m.build_with_array();
    m.evict(data_page);
    EXPECT_EQ(m.eldb(free_page, elrange + data_offset), success);
    EXPECT_EQ(m.ewb(free_page), error(11));
    EXPECT_EQ(m.etrack(), success);
    EXPECT_EQ(m.ewb(free_page), success);
}

TEST(Eldb, DoesNotBlockAVersionArrayOrASecs) {
    PagingMachine m;
    m.build_with_array();
    m.add_version_array(8);
    ASSERT_EQ(m.ewb(8, 0), success);
    EXPECT_EQ(m.eldb(8, 0, 0, 0), success);
    EXPECT_FALSE(m.entry(8).blocked);
    for (u64 page = tcs_page; page <= data_page; ++page) ASSERT_EQ(m.eremove(page), success);
    ASSERT_EQ(m.ewb(secs_page, 1), success);
    EXPECT_EQ(m.eldb(new_secs, 0, 0, 1), success);
    EXPECT_FALSE(m.entry(new_secs).blocked);
}

TEST(Eldu, OfATrimmedPageLetsItBeRemoved) {
    PagingMachine m;
    m.build_with_array();
    EpcmEntry& entry = m.entry(data_page);
    entry.page_type = PageType::trim;
    entry.r = entry.w = false;
    entry.modified = true;
    m.evict(data_page);
    ASSERT_EQ(m.eldu(free_page, elrange + data_offset), success);
    EXPECT_EQ(m.entry(free_page).page_type, PageType::trim);
    EXPECT_TRUE(m.entry(free_page).modified);
    EXPECT_EQ(m.eremove(free_page), success);
    EXPECT_EQ(m.children(), 4u);
}

TEST(Eldu, OfATcsLetsTheThreadGoOn) {
    TwoProcessors m;
    m.first.eenter();
    m.first.aex();
    const auto content = m.content(tcs_page);
    m.evict(tcs_page);
    ASSERT_EQ(m.eldu(free_page, elrange + tcs_offset), success);
    EXPECT_EQ(m.content(free_page), content);
    EXPECT_EQ(m.epc.tcs(free_page).cssa, 1u);
    const EpcmEntry& entry = m.entry(free_page);
    EXPECT_EQ(entry.page_type, PageType::tcs);
    EXPECT_FALSE(entry.r || entry.w || entry.x);
    m.map(elrange + tcs_offset, epc_physical + free_page * page_size, pte_p | pte_w | pte_u);
    m.first.eresume();
    EXPECT_EQ(m.epc.tcs(free_page).cssa, 0u);
    EXPECT_TRUE(m.first.reads(data_offset));
}

TEST(Eldu, OfAnSsaPageLetsTheThreadGoOn) {
    TwoProcessors m;
    m.first.eenter();
    m.first.c.gpr[r12] = 0x1234'5678'9abc'def0;
    m.first.aex();
    m.evict(ssa_page);
    std::memset(m.epc.page(ssa_page), 0xee, page_size);
    ASSERT_EQ(m.eldu(free_page, elrange + ssa_offset), success);
    m.map(elrange + ssa_offset, epc_physical + free_page * page_size, pte_p | pte_w | pte_u);
    m.first.eresume();
    EXPECT_EQ(m.first.c.gpr[r12], 0x1234'5678'9abc'def0u);
}

TEST(Eldu, OfARegularPageShowsItToTheEnclaveAgain) {
    TwoProcessors m;
    m.first.eenter();
    constexpr u64 secret = 0x0123'4567'89ab'cdef;
    ASSERT_TRUE(store(m.first.c, Gva{elrange + data_offset + 0x100}, 8, secret));
    m.first.aex();
    m.evict(data_page);
    m.first.eresume();
    EXPECT_FALSE(m.first.reads(data_offset));
    ASSERT_EQ(m.eldu(free_page, elrange + data_offset), success);
    // The page tables of the test lead to the old place still.
    EXPECT_FALSE(m.first.reads(data_offset));
    m.map(elrange + data_offset, epc_physical + free_page * page_size, pte_p | pte_w | pte_u);
    const auto found = load(m.first.c, Gva{elrange + data_offset + 0x100}, 8);
    ASSERT_TRUE(found.ok());
    EXPECT_EQ(found.value(), secret);
}

/// A version array that was itself away gives the versions back that it held.
TEST(Eldu, OfAVersionArrayBringsItsSlotsBack) {
    PagingMachine m;
    m.build_with_array();
    m.evict(data_page, 3);
    m.add_version_array(8);
    m.prepare_ewb(0);
    ASSERT_EQ(m.leaf(EnclsLeaf::ewb, pageinfo_at, window_of(va_page), window_of(8) + 16), success);
    m.prepare_eld(0, 0, 0);
    ASSERT_EQ(m.leaf(EnclsLeaf::eldu, pageinfo_at, window_of(free_page), window_of(8) + 16),
              success);
    const EpcmEntry& entry = m.entry(free_page);
    EXPECT_EQ(entry.page_type, PageType::va);
    EXPECT_EQ(entry.enclave_address, 0u);
    EXPECT_EQ(entry.enclave_secs, 0u);
    EXPECT_EQ(m.epc.at<u64>(free_page * page_size + 3 * 8), 1u);
    m.prepare_eld(elrange + data_offset, window_of(secs_page), 3);
    EXPECT_EQ(
        m.leaf(EnclsLeaf::eldu, pageinfo_at, window_of(data_page), window_of(free_page) + 3 * 8),
        success);
}

void evict_all(PagingMachine& m) {
    for (u64 page = tcs_page; page <= data_page; ++page) m.evict(page, page);
    ASSERT_EQ(m.ewb(secs_page, 0), success);
    std::memset(m.epc.page(secs_page), 0xee, page_size);
}

void load_all(PagingMachine& m) {
    ASSERT_EQ(m.eldu(new_secs, 0, 0, 0), success);
    for (u64 page = tcs_page; page <= data_page; ++page) {
        const u64 address = m.entry(page).enclave_address;
        ASSERT_EQ(m.eldu(page, address, window_of(new_secs), page), success);
    }
}

TEST(Eldu, OfASecsKeepsTheEnclavesIdentity) {
    PagingMachine m;
    m.build_with_array(true);
    const Secs secs = m.secs();
    const SecsHidden hidden = m.epc.hidden(secs_page);
    evict_all(m);
    load_all(m);
    EXPECT_EQ(std::memcmp(&m.epc.secs(new_secs), &secs, secs_hidden_offset), 0);
    const SecsHidden& found = m.epc.hidden(new_secs);
    EXPECT_EQ(found.enclave_id, hidden.enclave_id);
    EXPECT_EQ(found.children, 5u);
    EXPECT_EQ(found.tracking.epoch, hidden.tracking.epoch + 5);
    EXPECT_EQ(found.enclave_context, epc_physical + new_secs * page_size);
    EXPECT_EQ(m.entry(new_secs).page_type, PageType::secs);
    EXPECT_EQ(m.entry(data_page).enclave_secs, new_secs);
    m.as_user();
    EXPECT_TRUE(m.eenter().ok());
}

/// MRENCLAVE's running state travels with the SECS.
TEST(Eldu, OfASecsThatIsNotInitialisedLetsTheBuildingGoOn) {
    PagingMachine m;
    m.build_with_array();
    evict_all(m);
    load_all(m);
    m.prepare_einit();
    EXPECT_EQ(m.leaf(EnclsLeaf::einit, sigstruct_at, window_of(new_secs), token_at), success);
    EXPECT_EQ(m.epc.secs(new_secs).mrenclave, m.expected_mrenclave());
}

TEST(Eldu, GivesANewEnclaveNoIdThatAnEvictedOneHas) {
    PagingMachine m;
    m.build_with_array();
    evict_all(m);
    m.prepare_ecreate();
    ASSERT_TRUE(m.ecreate().ok());
    ASSERT_EQ(m.eldu(new_secs, 0, 0, 0), success);
    EXPECT_EQ(m.epc.hidden(new_secs).enclave_id, 1u);
    EXPECT_EQ(m.epc.hidden(secs_page).enclave_id, 2u);
    EXPECT_EQ(m.eldu(data_page, elrange + data_offset, window_of(secs_page), data_page),
              mac_mismatch);
    EXPECT_EQ(m.eldu(data_page, elrange + data_offset, window_of(new_secs), data_page), success);
}

TEST(Eldu, DropsCodeThatWasCachedFromThePagesEarlierLife) {
    PagingMachine m;
    m.build_with_array();
    m.evict(data_page);
    Block block{};
    block.host = m.epc.page(free_page) + 0x20;
    m.c.blocks->insert(m.c, &block);
    ASSERT_EQ(m.eldu(free_page, elrange + data_offset), success);
    EXPECT_FALSE(m.c.blocks->has_code(block.host));
}

// Tampering.

/// The data page is out in slot 0, the code page in slot 1.
void make_ready(PagingMachine& m) {
    m.build_with_array();
    m.evict(data_page, 0);
    m.evict(code_page, 1);
    m.prepare_eld(elrange + data_offset, window_of(secs_page), 0);
}

Outcome load_data(PagingMachine& m) {
    return m.leaf(EnclsLeaf::eldu, pageinfo_at, window_of(free_page), slot_of(0));
}

/// Every bit of those bytes in memory, one after the other.
void expect_every_flip(PagingMachine& m, u64 from, u64 count, Outcome outcome) {
    for (u64 n = 0; n < 8 * count; ++n) {
        u8& byte = m.at<u8>(from + n / 8);
        const auto bit = static_cast<u8>(1u << n % 8);
        byte ^= bit;
        ASSERT_EQ(load_data(m), outcome) << "byte " << n / 8 << ", bit " << n % 8;
        byte ^= bit;
    }
}

TEST(EldTampering, EveryBitOfSecinfoCounts) {
    PagingMachine m;
    make_ready(m);
    const State before{m};
    expect_every_flip(m, pcmd_of(0), 64, mac_mismatch);
    EXPECT_TRUE(same_epc(State{m}, before));
    EXPECT_EQ(load_data(m), success);
}

TEST(EldTampering, EveryBitOfTheReservedBytesAndOfTheMacCounts) {
    PagingMachine m;
    make_ready(m);
    const State before{m};
    expect_every_flip(m, pcmd_of(0) + 72, 40 + 16, mac_mismatch);
    EXPECT_TRUE(same_epc(State{m}, before));
    EXPECT_EQ(load_data(m), success);
}

TEST(EldTampering, EveryByteOfTheCiphertextCounts) {
    PagingMachine m;
    make_ready(m);
    const State before{m};
    for (u64 n = 0; n < page_size; ++n) {
        m.sealed()[n] ^= static_cast<u8>(1u << n % 8);
        ASSERT_EQ(load_data(m), mac_mismatch) << n;
        m.sealed()[n] ^= static_cast<u8>(1u << n % 8);
    }
    EXPECT_TRUE(same_epc(State{m}, before));
    EXPECT_EQ(load_data(m), success);
}

TEST(EldTampering, EveryBitOfTheLinearAddressCounts) {
    PagingMachine m;
    make_ready(m);
    const State before{m};
    expect_every_flip(m, pageinfo_at, 8, mac_mismatch);
    EXPECT_TRUE(same_epc(State{m}, before));
    EXPECT_EQ(load_data(m), success);
}

/// EID in the PCMD is a handle for software: the one that counts is the SECS's.
TEST(EldTampering, TheEnclaveIdInThePcmdIsNotAskedFor) {
    PagingMachine m;
    make_ready(m);
    m.pcmd().enclaveid = ~u64{0};
    EXPECT_EQ(load_data(m), success);
}

struct Tampering {
    const char* name;
    void (*make)(PagingMachine&);
};

class EldTamperingCase : public testing::TestWithParam<Tampering> {};

TEST_P(EldTamperingCase, IsAMacMismatchAndChangesNothing) {
    PagingMachine m;
    make_ready(m);
    GetParam().make(m);
    const State before{m};
    EXPECT_EQ(load_data(m), mac_mismatch);
    EXPECT_TRUE(same_epc(State{m}, before));
}

constexpr Tampering tamperings[] = {
    {"AnotherEnclave",
     [](PagingMachine& m) {
         m.prepare_ecreate();
         ASSERT_TRUE(m.encls(EnclsLeaf::ecreate, pageinfo_at, window_of(new_secs)).ok());
         m.prepare_eld(elrange + data_offset, window_of(new_secs), 0);
     }},
    {"TheOtherPagesPcmd", [](PagingMachine& m) { m.pcmd(0) = m.pcmd(1); }},
    {"TheOtherPagesContent", [](PagingMachine& m) { m.sealed(0) = m.sealed(1); }},
    {"TheOtherPagesSlot", [](PagingMachine& m) { std::swap(m.slot(0), m.slot(1)); }},
    {"TheOtherPageWhole",
     [](PagingMachine& m) {
         m.sealed(0) = m.sealed(1);
         m.pcmd(0) = m.pcmd(1);
         m.at<Pageinfo>(pageinfo_at).linaddr = elrange + code_offset;
     }},
    {"OlderVersion",
     [](PagingMachine& m) {
         const auto sealed = m.sealed(0);
         const Pcmd pcmd = m.pcmd(0);
         ASSERT_EQ(load_data(m), success);
         m.evict(free_page, 0);
         m.sealed(0) = sealed;
         m.pcmd(0) = pcmd;
         m.prepare_eld(elrange + data_offset, window_of(secs_page), 0);
     }},
    {"EmptySlot", [](PagingMachine& m) { m.slot(0) = 0; }},
    {"SlotUsedUp",
     [](PagingMachine& m) {
         ASSERT_EQ(load_data(m), success);
         ASSERT_EQ(m.eremove(free_page), success);
     }},
    {"ZeroesInMemory",
     [](PagingMachine& m) {
         m.sealed(0) = {};
         m.pcmd(0) = {};
     }},
    {"AnotherProcessor", [](PagingMachine& m) { ++m.system.sgx_seed; }},
};

INSTANTIATE_TEST_SUITE_P(Eld, EldTamperingCase, testing::ValuesIn(tamperings),
                         [](const auto& test) { return std::string{test.param.name}; });

TEST(EldTampering, APageIsLoadedOnceOnly) {
    PagingMachine m;
    make_ready(m);
    EXPECT_EQ(load_data(m), success);
    EXPECT_EQ(m.eldu(data_page, elrange + data_offset), mac_mismatch);
    EXPECT_EQ(m.children(), 4u);
}

// Faults.

class EldViolation : public testing::TestWithParam<Violation> {};

TEST_P(EldViolation, FaultsAndChangesNothing) {
    for (const u64 leaf : {u64{0x7}, u64{0x8}}) {
        PagingMachine m;
        make_ready(m);
        m.c.gpr[rax] = leaf;
        m.c.gpr[rbx] = pageinfo_at;
        m.c.gpr[rcx] = window_of(free_page);
        m.c.gpr[rdx] = slot_of(0);
        GetParam().arrange(m);
        const State before{m};
        EXPECT_FALSE(sgx::encls(m.c).ok());
        EXPECT_EQ(pending_fault(m.c), GetParam().fault);
        EXPECT_TRUE(State{m} == before);
    }
}

Pageinfo& info(EnclaveMachine& m) { return m.at<Pageinfo>(pageinfo_at); }

constexpr u32 write_fault = sgx_fault(true, false);

constexpr Violation violations[] = {
    {"PageinfoNotAlignedTo32",
     [](EnclaveMachine& m) {
         m.at<std::array<u64, 4>>(pageinfo_at + 0x90) = {elrange + data_offset, sealed_of(0),
                                                         pcmd_of(0), window_of(secs_page)};
         m.c.gpr[rbx] = pageinfo_at + 0x90;
     },
     gp0},
    {"PageinfoNotMapped", [](EnclaveMachine& m) { m.c.gpr[rbx] = unmapped; }, pf(unmapped, 0)},
    {"PageNotAligned", [](EnclaveMachine& m) { m.c.gpr[rcx] += 8; }, gp0},
    {"PageNotMapped", [](EnclaveMachine& m) { m.c.gpr[rcx] = unmapped; }, pf(unmapped, 2)},
    {"PageNotInTheEpc", [](EnclaveMachine& m) { m.c.gpr[rcx] = source_at; },
     pf(source_at, write_fault)},
    {"SlotNotAligned", [](EnclaveMachine& m) { m.c.gpr[rdx] += 4; }, gp0},
    {"SlotNotMapped", [](EnclaveMachine& m) { m.c.gpr[rdx] = unmapped + 8; }, pf(unmapped + 8, 2)},
    {"SlotNotInTheEpc", [](EnclaveMachine& m) { m.c.gpr[rdx] = source_at + 8; },
     pf(source_at + 8, write_fault)},
    {"PcmdNotAlignedTo128", [](EnclaveMachine& m) { info(m).secinfo += 64; }, gp0},
    {"SourceNotAligned", [](EnclaveMachine& m) { info(m).srcpge += 128; }, gp0},
    {"RequestedConflict",
     [](EnclaveMachine& m) {
         m.epc.conflicts.rate[7] = m.epc.conflicts.rate[8] = Conflicts::always;
     },
     gp0},
    {"PageValidAlready", [](EnclaveMachine& m) { m.entry(free_page).valid = true; },
     pf(window_of(free_page), write_fault)},
    {"ArrayNotValid", [](EnclaveMachine& m) { m.entry(va_page).valid = false; },
     pf(slot_of(0), write_fault)},
    {"ArrayOfAnotherType", [](EnclaveMachine& m) { m.c.gpr[rdx] = window_of(ssa_page) + 16; },
     pf(window_of(ssa_page) + 16, write_fault)},
    {"PcmdNotMapped", [](EnclaveMachine& m) { info(m).secinfo = unmapped; }, pf(unmapped, 0)},
    {"SecsNotAligned", [](EnclaveMachine& m) { info(m).secs += 0x10; }, gp0},
    {"SecsNotMapped", [](EnclaveMachine& m) { info(m).secs = unmapped; }, pf(unmapped, 2)},
    {"SecsNotInTheEpc", [](EnclaveMachine& m) { info(m).secs = source_at; },
     pf(source_at, write_fault)},
    {"SecsNotValid", [](EnclaveMachine& m) { m.entry(secs_page).valid = false; },
     pf(window_of(secs_page), write_fault)},
    {"SecsOfAnotherType", [](EnclaveMachine& m) { info(m).secs = window_of(ssa_page); },
     pf(window_of(ssa_page), write_fault)},
    {"SourceNotMapped", [](EnclaveMachine& m) { info(m).srcpge = unmapped; }, pf(unmapped, 0)},
};

INSTANTIATE_TEST_SUITE_P(Eld, EldViolation, testing::ValuesIn(violations),
                         [](const auto& test) { return std::string{test.param.name}; });

}  // namespace
}  // namespace postern::cpu::sgx
