// SPDX-License-Identifier: Apache-2.0
// The rules that the fuzzer of SGX's leaves relies on: they hold of an enclave that is running,
// and each says so when it alone is broken.
#include "support/epc_invariants.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

#include "cpu/mmu/access.h"
#include "unit/cpu/sgx/enclave_machine.h"

namespace postern::cpu::sgx {
namespace {

/// The rules that do not hold, by name.
std::vector<std::string> broken_rules(EnclaveMachine& m) {
    const std::array<const Cpu*, 1> processors{&m.c};
    std::vector<std::string> names;
    for (const InvariantRow& row : epc_invariants())
        if (row.check({m.epc, processors})) names.emplace_back(row.name);
    return names;
}

TEST(EpcInvariants, HoldOfAnEnclaveThatRuns) {
    EnclaveMachine m;
    m.go_inside();
    ASSERT_TRUE(store(m.c, Gva{elrange + data_offset}, 8, 1));
    ASSERT_TRUE(code_pointer(m.c, Gva{elrange + code_offset}));
    EXPECT_EQ(broken_rules(m), std::vector<std::string>{});
    asynchronous_exit(m.c, {});
    EXPECT_EQ(broken_rules(m), std::vector<std::string>{});
}

struct Damage {
    const char* rule;
    const char* what;
    void (*make)(EnclaveMachine&);
};

constexpr Damage damages[] = {
    {"PagesHaveAValidSecs", "OtherSecs",
     [](EnclaveMachine& m) {
         m.entry(data_page).enclave_secs = 9;
         --m.epc.hidden(secs_page).children;
     }},
    {"PagesHaveAValidSecs", "OutsideElrange",
     [](EnclaveMachine& m) { m.entry(data_page).enclave_address = elrange + elrange_size; }},
    {"ChildrenAreCounted", "OneTooMany",
     [](EnclaveMachine& m) { ++m.epc.hidden(secs_page).children; }},
    {"ChildrenAreCounted", "OneGone", [](EnclaveMachine& m) { m.entry(data_page).valid = false; }},
    {"RightsAreOfRegularPages", "Tcs", [](EnclaveMachine& m) { m.entry(tcs_page).r = true; }},
    {"RightsAreOfRegularPages", "Secs", [](EnclaveMachine& m) { m.entry(secs_page).x = true; }},
    {"RightsAreOfRegularPages", "WriteOnly",
     [](EnclaveMachine& m) { m.entry(data_page).r = false; }},
    {"AtMostOneChangeWaits", "Both",
     [](EnclaveMachine& m) { m.entry(data_page).pending = m.entry(data_page).modified = true; }},
    {"SecsAndVaAreNeverBlocked", "Secs",
     [](EnclaveMachine& m) { m.entry(secs_page).blocked = true; }},
    {"SecsAndVaAreNeverBlocked", "Va",
     [](EnclaveMachine& m) {
         m.entry(9).valid = m.entry(9).blocked = true;
         m.entry(9).page_type = PageType::va;
     }},
    {"ActiveThreadsHaveOneProcessor", "ActiveWithout",
     [](EnclaveMachine& m) {
         asynchronous_exit(m.c, {});
         m.tcs().state = TcsState::active;
     }},
    {"ActiveThreadsHaveOneProcessor", "InactiveWith",
     [](EnclaveMachine& m) { m.tcs().state = TcsState::inactive; }},
    {"ActiveThreadsHaveOneProcessor", "NotInitialised",
     [](EnclaveMachine& m) { m.secs().attributes.flags.set(SgxAttribute::init, false); }},
    {"TrackingCountsProcessors", "Threads",
     [](EnclaveMachine& m) { ++m.epc.hidden(secs_page).active_threads; }},
    {"TrackingCountsProcessors", "Epoch",
     [](EnclaveMachine& m) { ++m.epc.hidden(secs_page).tracking.epoch; }},
    {"TrackingCountsProcessors", "Previous",
     [](EnclaveMachine& m) { ++m.epc.hidden(secs_page).tracking.inside_previous; }},
};

class EpcInvariant : public testing::TestWithParam<Damage> {};

TEST_P(EpcInvariant, IsReportedWhenBroken) {
    EnclaveMachine m;
    m.go_inside();
    ASSERT_EQ(broken_rules(m), std::vector<std::string>{});
    GetParam().make(m);
    EXPECT_EQ(broken_rules(m), std::vector<std::string>{GetParam().rule});
}

INSTANTIATE_TEST_SUITE_P(EpcInvariants, EpcInvariant, testing::ValuesIn(damages),
                         [](const auto& test) {
                             return std::string{test.param.rule} + test.param.what;
                         });

TEST(EpcInvariants, ATranslationThatStaysBehindIsReported) {
    EnclaveMachine m;
    m.go_inside();
    ASSERT_TRUE(load(m.c, Gva{elrange + data_offset}, 8));
    m.c.enclave.active = false;
    const std::array<const Cpu*, 1> processors{&m.c};
    EXPECT_TRUE(translations_stay_in_their_enclave({m.epc, processors}));
}

TEST(EpcInvariants, ATranslationOfAPageTakenAwayIsReported) {
    EnclaveMachine m;
    m.go_inside();
    ASSERT_TRUE(load(m.c, Gva{elrange + data_offset}, 8));
    m.entry(data_page).valid = false;
    m.epc.hidden(secs_page).children -= 1;
    EXPECT_EQ(broken_rules(m), std::vector<std::string>{"TranslationsDoNotOutliveTheirPage"});
}

TEST(EpcInvariants, ATranslationWithMoreRightsThanItsPageIsReported) {
    EnclaveMachine m;
    m.go_inside();
    ASSERT_TRUE(store(m.c, Gva{elrange + data_offset}, 8, 1));
    m.entry(data_page).w = false;
    EXPECT_EQ(broken_rules(m), std::vector<std::string>{"TranslationsDoNotOutliveTheirPage"});
}

TEST(EpcWatch, SeesAByteAndAnEntryThatChange) {
    EnclaveMachine m;
    m.build_and_initialise();
    EpcWatch watch{m.epc};
    EXPECT_FALSE(watch.look());
    m.epc.at<u8>(data_page * page_size + 4095) ^= 1;
    const Breach byte = watch.look();
    EXPECT_TRUE(byte);
    EXPECT_EQ(byte.page, data_page);
    EXPECT_FALSE(watch.look());
    m.entry(code_page).w = true;
    const Breach entry = watch.look();
    EXPECT_TRUE(entry);
    EXPECT_EQ(entry.page, code_page);
}

TEST(EpcWatch, AllowsWhatItIsToldAndNoByteMore) {
    EnclaveMachine m;
    m.build_and_initialise();
    EpcWatch watch{m.epc};
    watch.allow_bytes(data_page, 8, 8);
    m.epc.at<u64>(data_page * page_size + 8) ^= ~u64{0};
    EXPECT_FALSE(watch.look());
    watch.allow_bytes(data_page, 8, 8);
    m.epc.at<u8>(data_page * page_size + 16) ^= 1;
    EXPECT_TRUE(watch.look());
}

}  // namespace
}  // namespace postern::cpu::sgx
