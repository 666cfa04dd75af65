// SPDX-License-Identifier: Apache-2.0
// Conflicts by request: when each is due.
#include "cpu/sgx/conflict.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "unit/cpu/sgx/enclave_machine.h"

namespace postern::cpu::sgx {
namespace {

constexpr u64 half = u64{1} << 31;
constexpr u64 tenth = 429'496'730;  // 2^32 / 10, rounded up

class Conflict : public ::testing::Test {
protected:
    void ask(EnclsLeaf leaf, u64 rate, u64 seed = 0) {
        const ConflictRequest request{conflict_row(leaf), rate, seed};
        set_conflicts(m.epc.conflicts, {&request, 1});
    }
    /// '!' for a conflict.
    std::string answers(EnclsLeaf leaf, unsigned count) {
        std::string text;
        for (unsigned n = 0; n < count; ++n) text += meets_conflict(m.c, leaf) ? '!' : '.';
        return text;
    }
    unsigned number(EnclsLeaf leaf, unsigned count) {
        return static_cast<unsigned>(std::ranges::count(answers(leaf, count), '!'));
    }

    EnclaveMachine m;
};

TEST_F(Conflict, ALeafThatNobodyAskedForMeetsNone) {
    ask(EnclsLeaf::einit, Conflicts::always);
    EXPECT_EQ(answers(EnclsLeaf::ewb, 5), ".....");
    EXPECT_FALSE(meets_conflict(m.c, EncluLeaf::eenter));
    EXPECT_EQ(m.epc.conflicts.asked[11], 0u);
    EXPECT_EQ(answers(EnclsLeaf::einit, 3), "!!!");
}

TEST_F(Conflict, WithoutASeedTheyAreEvenlySpaced) {
    ask(EnclsLeaf::ewb, half);
    EXPECT_EQ(answers(EnclsLeaf::ewb, 8), ".!.!.!.!");
    ask(EnclsLeaf::ewb, 3 * (half / 2));
    EXPECT_EQ(answers(EnclsLeaf::ewb, 8), ".!!!.!!!");
    ask(EnclsLeaf::ewb, tenth);
    EXPECT_EQ(answers(EnclsLeaf::ewb, 20), ".........!.........!");
    ask(EnclsLeaf::ewb, 0);
    EXPECT_EQ(answers(EnclsLeaf::ewb, 4), "....");
}

TEST_F(Conflict, AnEvenRateIsExactOverAnyStretch) {
    for (const u64 rate : {tenth, half / 2, u64{1'431'655'766}, u64{4'000'000'000}}) {
        ask(EnclsLeaf::ewb, rate);
        unsigned given = 0;
        for (u64 count = 1; count <= 2000; ++count) {
            given += unsigned{meets_conflict(m.c, EnclsLeaf::ewb)};
            ASSERT_EQ(given, (count * rate) >> 32) << rate << " after " << count;
        }
    }
}

TEST_F(Conflict, TheEvenRateStaysExactAfterVeryManyQuestions) {
    ask(EnclsLeaf::ewb, half);
    m.epc.conflicts.asked[11] = ~u64{0} - 2;
    EXPECT_EQ(answers(EnclsLeaf::ewb, 6), "!.!.!.");
}

TEST_F(Conflict, ASeedDecidesWhich) {
    ask(EnclsLeaf::ewb, half, 7);
    const std::string first = answers(EnclsLeaf::ewb, 64);
    ask(EnclsLeaf::ewb, half, 8);
    EXPECT_NE(answers(EnclsLeaf::ewb, 64), first);
    ask(EnclsLeaf::ewb, half, 7);
    EXPECT_EQ(answers(EnclsLeaf::ewb, 64), first);
    ask(EnclsLeaf::eldu, half, 7);
    EXPECT_NE(answers(EnclsLeaf::eldu, 64), first);
}

TEST_F(Conflict, ASeedKeepsTheRateOnAverage) {
    ask(EnclsLeaf::ewb, tenth, 42);
    const unsigned given = number(EnclsLeaf::ewb, 10'000);
    // Five standard deviations of 30.
    EXPECT_GT(given, 850u);
    EXPECT_LT(given, 1150u);
    ask(EnclsLeaf::ewb, Conflicts::always, 42);
    EXPECT_EQ(number(EnclsLeaf::ewb, 100), 100u);
}

TEST_F(Conflict, LeavesOfEnclsAndEncluWithTheSameNumberAreTold) {
    // EEXTEND and EMODPE are both leaf 6.
    const ConflictRequest request{conflict_row(EncluLeaf::emodpe), Conflicts::always, 0};
    set_conflicts(m.epc.conflicts, {&request, 1});
    EXPECT_FALSE(meets_conflict(m.c, EnclsLeaf::eextend));
    EXPECT_TRUE(meets_conflict(m.c, EncluLeaf::emodpe));
}

TEST_F(Conflict, QuestionsAndAnswersAreCounted) {
    ask(EnclsLeaf::ewb, half);
    answers(EnclsLeaf::ewb, 5);
    EXPECT_EQ(m.epc.conflicts.asked[11], 5u);
    EXPECT_EQ(m.epc.conflicts.given[11], 2u);
}

TEST_F(Conflict, AskedForAgainTheyGoOnAndOtherwiseBeginAnew) {
    ask(EnclsLeaf::ewb, half);
    EXPECT_EQ(answers(EnclsLeaf::ewb, 3), ".!.");
    ask(EnclsLeaf::ewb, half);
    EXPECT_EQ(answers(EnclsLeaf::ewb, 3), "!.!");
    EXPECT_EQ(m.epc.conflicts.asked[11], 6u);
    ask(EnclsLeaf::ewb, half, 3);
    EXPECT_EQ(m.epc.conflicts.asked[11], 0u);
    ask(EnclsLeaf::einit, half);
    EXPECT_EQ(m.epc.conflicts.rate[11], 0u);
    EXPECT_EQ(m.epc.conflicts.seed[11], 0u);
}

TEST(ConflictLeaves, AreThoseWhoseConcurrencyCheckCanFail) {
    std::string all;
    for (const ConflictLeaf& leaf : conflict_leaves())
        all += std::string{leaf.name} + " " + std::string{leaf.answer} + "\n";
    EXPECT_EQ(all,
              "ECREATE #GP(0)\nEADD #GP(0)\nEINIT UNMASKED_EVENT\nEREMOVE #GP(0)\n"
              "EDBGRD #GP(0)\nEDBGWR #GP(0)\nEEXTEND #GP(0)\nELDB #GP(0)\nELDU #GP(0)\n"
              "EBLOCK ENTRYEPOCH_LOCKED\nEPA #GP(0)\nEWB NOT_TRACKED\nETRACK PREV_TRK_INCMPL\n"
              "EAUG #GP(0)\nEMODPR EPC_PAGE_CONFLICT\nEMODT EPC_PAGE_CONFLICT\n"
              "EENTER #GP(0)\nERESUME #GP(0)\nEACCEPT EPC_PAGE_CONFLICT\nEMODPE #GP(0)\n"
              "EACCEPTCOPY EPC_PAGE_CONFLICT\nEDECCSSA #GP(0)\n");
}

/// A leaf that succeeds, but for the conflict.
struct Use {
    const char* name;
    unsigned row;
    void (*arrange)(EnclaveMachine&);
    Result<> (*leaf)(EnclaveMachine&);
};

void create(EnclaveMachine& m) {
    m.prepare_ecreate();
    ASSERT_TRUE(m.ecreate());
}
void add(EnclaveMachine& m) {
    create(m);
    m.prepare_eadd(code_offset, 0x205);
    ASSERT_TRUE(m.eadd(code_page));
}
void leave_by_interrupt(EnclaveMachine& m) {
    m.go_inside();
    asynchronous_exit(m.c, {});
}

constexpr Use uses[] = {
    {"ECREATE", 0, [](EnclaveMachine& m) { m.prepare_ecreate(); },
     [](EnclaveMachine& m) { return m.ecreate(); }},
    {"EADD", 1,
     [](EnclaveMachine& m) {
         create(m);
         m.prepare_eadd(code_offset, 0x205);
     },
     [](EnclaveMachine& m) { return m.eadd(code_page); }},
    {"EDBGRD", 4, add,
     [](EnclaveMachine& m) { return m.encls(EnclsLeaf::edbgrd, 0, window_of(code_page)); }},
    {"EDBGWR", 5, add,
     [](EnclaveMachine& m) { return m.encls(EnclsLeaf::edbgwr, 9, window_of(code_page)); }},
    {"EEXTEND", 6, add, [](EnclaveMachine& m) { return m.eextend(code_page, 0); }},
    {"EENTER", 34, [](EnclaveMachine& m) { m.build_and_initialise(); },
     [](EnclaveMachine& m) { return m.eenter(); }},
    {"ERESUME", 35, leave_by_interrupt, [](EnclaveMachine& m) { return m.eresume(); }},
};

class ConflictUse : public ::testing::TestWithParam<Use> {};

TEST_P(ConflictUse, IsAGeneralProtectionFaultThatChangesNothingAndIsOverAtTheNext) {
    const Use& use = GetParam();
    EnclaveMachine m;
    use.arrange(m);
    const State before{m};
    const ConflictRequest request{use.row, half, 0};
    set_conflicts(m.epc.conflicts, {&request, 1});
    m.epc.conflicts.asked[use.row] = 1;
    EXPECT_FALSE(use.leaf(m));
    EXPECT_EQ(pending_fault(m.c), gp0);
    const State after{m};
    EXPECT_EQ(after.pages, before.pages);
    EXPECT_EQ(after.entries, before.entries);
    EXPECT_TRUE(use.leaf(m));
    EXPECT_EQ(m.epc.conflicts.asked[use.row], 3u);
    EXPECT_EQ(m.epc.conflicts.given[use.row], 1u);
}

INSTANTIATE_TEST_SUITE_P(Leaves, ConflictUse, ::testing::ValuesIn(uses),
                         [](const auto& tested) { return std::string{tested.param.name}; });

}  // namespace
}  // namespace postern::cpu::sgx
