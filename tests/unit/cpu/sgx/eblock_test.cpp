// SPDX-License-Identifier: Apache-2.0
// ENCLS[EBLOCK].
#include <gtest/gtest.h>

#include <string>

#include "unit/cpu/sgx/two_processors.h"

namespace postern::cpu::sgx {
namespace {

class EblockOfType : public testing::TestWithParam<PageType> {};

TEST_P(EblockOfType, BlocksThePageAndChangesNothingElse) {
    PagingMachine m;
    m.build();
    m.epc.hidden(secs_page).tracking.epoch = 5;
    m.entry(data_page).page_type = GetParam();
    m.entry(data_page).pr = true;
    const State before{m};
    EXPECT_EQ(m.eblock(data_page), success);
    EXPECT_TRUE(m.entry(data_page).blocked);
    EXPECT_EQ(m.entry(data_page).tracking_epoch, 5u);
    m.entry(data_page).blocked = false;
    m.entry(data_page).tracking_epoch = 0;
    EXPECT_TRUE(same_epc(State{m}, before));
}

INSTANTIATE_TEST_SUITE_P(Eblock, EblockOfType,
                         testing::Values(PageType::reg, PageType::tcs, PageType::trim));

struct Refusal {
    const char* name;
    void (*arrange)(EpcmEntry&);
    Outcome outcome;
};

class EblockRefusal : public testing::TestWithParam<Refusal> {};

TEST_P(EblockRefusal, IsReportedAndChangesNothing) {
    PagingMachine m;
    m.build();
    GetParam().arrange(m.entry(data_page));
    const State before{m};
    EXPECT_EQ(m.eblock(data_page), GetParam().outcome);
    EXPECT_TRUE(same_epc(State{m}, before));
}

constexpr Refusal refusals[] = {
    {"PageNotValid", [](EpcmEntry& e) { e.valid = false; }, error(6)},
    {"PageNotValidThoughItWasBlocked", [](EpcmEntry& e) { e.valid = false, e.blocked = true; },
     error(6)},
    {"Secs", [](EpcmEntry& e) { e.page_type = PageType::secs; }, information(18)},
    {"VersionArray", [](EpcmEntry& e) { e.page_type = PageType::va; }, information(5)},
    {"ShadowStackFirst", [](EpcmEntry& e) { e.page_type = PageType::ss_first; }, information(5)},
    {"ShadowStackRest", [](EpcmEntry& e) { e.page_type = PageType::ss_rest; }, information(5)},
    {"BlockedAlready", [](EpcmEntry& e) { e.blocked = true; }, information(3)},
};

INSTANTIATE_TEST_SUITE_P(Eblock, EblockRefusal, testing::ValuesIn(refusals),
                         [](const auto& test) { return std::string{test.param.name}; });

TEST(Eblock, OfABlockedPageKeepsTheEpochOfTheFirst) {
    PagingMachine m;
    m.build();
    EXPECT_EQ(m.eblock(data_page), success);
    EXPECT_EQ(m.etrack(), success);
    EXPECT_EQ(m.eblock(data_page), information(3));
    m.add_version_array();
    EXPECT_EQ(m.ewb(data_page), success);
}

TEST(Eblock, FaultsOnAMisalignedPageAndOutsideTheEpc) {
    PagingMachine m;
    m.build();
    const State before{m};
    m.expect_fault(EnclsLeaf::eblock, 0, window_of(data_page) + 8, 0, gp0);
    m.expect_fault(EnclsLeaf::eblock, 0, not_canonical, 0, gp0);
    m.expect_fault(EnclsLeaf::eblock, 0, unmapped, 0, pf(unmapped, 2));
    m.expect_fault(EnclsLeaf::eblock, 0, source_at, 0, pf(source_at, sgx_fault(true, false)));
    EXPECT_TRUE(same_epc(State{m}, before));
}

TEST(Eblock, RequestedConflictIsAnEtrackUnderWay) {
    PagingMachine m;
    m.build();
    m.epc.conflicts.rate[9] = Conflicts::always;
    const State before{m};
    EXPECT_EQ(m.eblock(data_page), error(15));
    EXPECT_TRUE(same_epc(State{m}, before));
    m.epc.conflicts.rate[9] = Conflicts::always / 2;
    m.epc.conflicts.asked[9] = 0;
    EXPECT_EQ(m.eblock(data_page), success);
    EXPECT_EQ(m.eblock(code_page), error(15));
    EXPECT_EQ(m.eblock(code_page), success);
}

/// SDM 3D, "EPC and Management of EPC Pages": BLOCKED stops new translations only.
TEST(Eblock, LeavesTheTranslationThatAProcessorInsideHolds) {
    TwoProcessors m;
    m.first.eenter();
    m.second.eenter();
    ASSERT_TRUE(m.first.reads(data_offset));
    EXPECT_EQ(m.eblock(data_page), success);
    EXPECT_TRUE(m.first.reads(data_offset + 8));
    EXPECT_FALSE(m.second.reads(data_offset));
    EXPECT_EQ(pending_fault(m.second.c), pf(elrange + data_offset, sgx_fault(false, true)));
    // Another processor's AEX does not take it away; its own does.
    m.second.aex();
    EXPECT_TRUE(m.first.reads(data_offset));
    m.first.aex();
    m.first.eresume();
    EXPECT_FALSE(m.first.reads(data_offset));
    EXPECT_EQ(pending_fault(m.first.c), pf(elrange + data_offset, sgx_fault(false, true)));
}

TEST(Eblock, LeavesNoTranslationBeyondEexit) {
    TwoProcessors m;
    m.first.eenter();
    ASSERT_TRUE(m.first.reads(data_offset));
    EXPECT_EQ(m.eblock(data_page), success);
    EXPECT_TRUE(m.first.reads(data_offset));
    m.first.eexit();
    m.first.eenter();
    EXPECT_FALSE(m.first.reads(data_offset));
}

TEST(Eblock, KeepsThreadsOutOfABlockedTcs) {
    TwoProcessors m;
    EXPECT_EQ(m.eblock(tcs_page), success);
    m.as_user();
    EXPECT_FALSE(m.eenter().ok());
    EXPECT_EQ(pending_fault(m.c), pf(elrange + tcs_offset, sgx_fault(true, true)));
}

}  // namespace
}  // namespace postern::cpu::sgx
