// SPDX-License-Identifier: Apache-2.0
// ENCLS[ETRACK], and the dance of EBLOCK, ETRACK and EWB while threads come and go.
#include <gtest/gtest.h>

#include <string>

#include "unit/cpu/sgx/two_processors.h"

namespace postern::cpu::sgx {
namespace {

constexpr Outcome not_tracked = error(11);
constexpr Outcome previous_incomplete = error(17);

TEST(Etrack, OfAnEnclaveThatNobodyIsInCompletesAtOnceEveryTime) {
    PagingMachine m;
    m.build();
    for (int n = 0; n < 3; ++n) EXPECT_EQ(m.etrack(), success);
    EXPECT_EQ(m.epc.hidden(secs_page).tracking.epoch, 3u);
}

TEST(Etrack, ChangesNothingButTheEpoch) {
    PagingMachine m;
    m.build();
    const State before{m};
    EXPECT_EQ(m.etrack(), success);
    m.epc.hidden(secs_page).tracking.epoch = 0;
    EXPECT_TRUE(same_epc(State{m}, before));
}

class EtrackViolation : public testing::TestWithParam<Violation> {};

TEST_P(EtrackViolation, FaultsAndChangesNothing) {
    PagingMachine m;
    m.build();
    m.c.gpr[rax] = 0xc;
    m.c.gpr[rcx] = window_of(secs_page);
    GetParam().arrange(m);
    const State before{m};
    EXPECT_FALSE(sgx::encls(m.c).ok());
    EXPECT_EQ(pending_fault(m.c), GetParam().fault);
    EXPECT_TRUE(State{m} == before);
}

constexpr Fault secs_fault = pf(window_of(secs_page), sgx_fault(true, false));

constexpr Violation violations[] = {
    {"SecsNotAligned", [](EnclaveMachine& m) { m.c.gpr[rcx] += 8; }, gp0},
    {"SecsNotCanonical", [](EnclaveMachine& m) { m.c.gpr[rcx] = not_canonical; }, gp0},
    {"SecsNotMapped", [](EnclaveMachine& m) { m.c.gpr[rcx] = unmapped; }, pf(unmapped, 2)},
    {"SecsNotInTheEpc", [](EnclaveMachine& m) { m.c.gpr[rcx] = source_at; },
     pf(source_at, sgx_fault(true, false))},
    {"SecsNotValid", [](EnclaveMachine& m) { m.entry(secs_page).valid = false; }, secs_fault},
    {"SecsOfAnotherType", [](EnclaveMachine& m) { m.entry(secs_page).page_type = PageType::reg; },
     secs_fault},
};

INSTANTIATE_TEST_SUITE_P(Etrack, EtrackViolation, testing::ValuesIn(violations),
                         [](const auto& test) { return std::string{test.param.name}; });

TEST(Etrack, RequestedConflictIsAPreviousTrackingThatIsNotOver) {
    PagingMachine m;
    m.build();
    m.epc.conflicts.rate[0xc] = Conflicts::always;
    const State before{m};
    EXPECT_EQ(m.etrack(), previous_incomplete);
    EXPECT_TRUE(same_epc(State{m}, before));
}

TEST(Etrack, IsRefusedWhileSomebodyFromBeforeTheLastOneIsInside) {
    TwoProcessors m;
    m.first.eenter();
    EXPECT_EQ(m.etrack(), success);
    const State before{m};
    EXPECT_EQ(m.etrack(), previous_incomplete);
    EXPECT_TRUE(same_epc(State{m}, before));
    m.second.eenter();  // too late to count
    EXPECT_EQ(m.etrack(), previous_incomplete);
    m.first.eexit();
    EXPECT_EQ(m.etrack(), success);
    EXPECT_EQ(m.etrack(), previous_incomplete);  // the second now
    m.second.aex();
    EXPECT_EQ(m.etrack(), success);
}

TEST(Etrack, MakesEwbWaitForWhoWasInside) {
    TwoProcessors m;
    m.first.eenter();
    EXPECT_EQ(m.eblock(data_page), success);
    EXPECT_EQ(m.ewb(data_page), not_tracked);
    EXPECT_EQ(m.etrack(), success);
    EXPECT_EQ(m.ewb(data_page), not_tracked);
    m.first.aex();
    EXPECT_EQ(m.ewb(data_page), success);
}

TEST(Etrack, IsOverThoughWhoLeftHasComeBack) {
    TwoProcessors m;
    m.first.eenter();
    EXPECT_EQ(m.eblock(data_page), success);
    EXPECT_EQ(m.etrack(), success);
    m.first.aex();
    m.first.eresume();
    EXPECT_EQ(m.ewb(data_page), success);
    EXPECT_FALSE(m.first.reads(data_offset));
}

TEST(Etrack, WaitsForEverybody) {
    TwoProcessors m;
    m.first.eenter();
    m.second.eenter();
    EXPECT_EQ(m.eblock(data_page), success);
    EXPECT_EQ(m.etrack(), success);
    m.first.aex();
    EXPECT_EQ(m.ewb(data_page), not_tracked);
    m.first.eresume();
    EXPECT_EQ(m.ewb(data_page), not_tracked);
    m.second.eexit();
    EXPECT_EQ(m.ewb(data_page), success);
}

TEST(Etrack, DoesNotWaitForWhoEntersAfterIt) {
    TwoProcessors m;
    EXPECT_EQ(m.eblock(data_page), success);
    EXPECT_EQ(m.etrack(), success);
    m.first.eenter();
    EXPECT_EQ(m.ewb(data_page), success);
}

TEST(Etrack, BeforeEblockDoesNotServeIt) {
    TwoProcessors m;
    m.first.eenter();
    EXPECT_EQ(m.etrack(), success);
    EXPECT_EQ(m.eblock(data_page), success);
    m.first.aex();
    EXPECT_EQ(m.ewb(data_page), not_tracked);
    EXPECT_EQ(m.etrack(), success);
    EXPECT_EQ(m.ewb(data_page), success);
}

TEST(Etrack, AfterAnEblockInTheMiddleOfAnEpochWaitsForItsOwn) {
    TwoProcessors m;
    m.first.eenter();
    EXPECT_EQ(m.eblock(data_page), success);
    EXPECT_EQ(m.etrack(), success);
    EXPECT_EQ(m.eblock(code_page), success);
    m.first.aex();
    EXPECT_EQ(m.ewb(code_page, 1), not_tracked);
    EXPECT_EQ(m.ewb(data_page, 0), success);
    EXPECT_EQ(m.etrack(), success);
    EXPECT_EQ(m.ewb(code_page, 1), success);
}

TEST(Etrack, ConcernsItsOwnEnclaveOnly) {
    TwoProcessors m;
    m.prepare_ecreate();
    ASSERT_TRUE(m.encls(EnclsLeaf::ecreate, pageinfo_at, window_of(13)).ok());
    m.first.eenter();
    EXPECT_EQ(m.etrack(), success);
    EXPECT_EQ(m.etrack(13), success);
    EXPECT_EQ(m.etrack(13), success);
    EXPECT_EQ(m.etrack(), previous_incomplete);
}

}  // namespace
}  // namespace postern::cpu::sgx
