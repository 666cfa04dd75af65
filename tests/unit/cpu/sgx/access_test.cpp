// SPDX-License-Identifier: Apache-2.0
// Enclave access control: the matrix of accessor, linear address and target, and the EPCM check
// with each condition violated alone.
#include <gtest/gtest.h>

#include <string>

#include "cpu/mmu/access.h"
#include "unit/cpu/sgx/enclave_machine.h"

namespace postern::cpu::sgx {
namespace {

constexpr Hpa ram{source_at};
constexpr Hpa data_physical{epc_physical + data_page * page_size};
constexpr Gva data_linear{elrange + data_offset};

Verdict verdict(EnclaveMachine& m, Gva linear, Hpa physical, Access access = Access::read) {
    return check_access(m.c, linear, physical, access).verdict;
}

TEST(EnclaveAccess, InElrangeToAnOwnPageGivesItsBytesAndRights) {
    EnclaveMachine m;
    m.go_inside();
    const AccessCheck check =
        check_access(m.c, data_linear + 0x123, data_physical + 0x123, Access::write);
    EXPECT_EQ(check.verdict, Verdict::enclave_page);
    EXPECT_EQ(check.page, m.epc.page(data_page));
    EXPECT_TRUE(check.r && check.w && !check.x);
}

TEST(EnclaveAccess, FetchFromAnExecutablePageIsAllowedAndAWriteToItFaults) {
    EnclaveMachine m;
    m.go_inside();
    const Gva linear{elrange + code_offset};
    const Hpa physical{epc_physical + code_page * page_size};
    EXPECT_EQ(verdict(m, linear, physical, Access::execute), Verdict::enclave_page);
    EXPECT_EQ(verdict(m, linear, physical, Access::write), Verdict::page_fault);
}

TEST(EnclaveAccess, InElrangeToMemoryOutsideTheEpcFaults) {
    EnclaveMachine m;
    m.go_inside();
    EXPECT_EQ(verdict(m, data_linear, ram), Verdict::page_fault);
}

TEST(EnclaveAccess, OutsideElrangeToMemoryIsOrdinary) {
    EnclaveMachine m;
    m.go_inside();
    EXPECT_EQ(verdict(m, Gva{source_at}, ram, Access::write), Verdict::ordinary);
    EXPECT_EQ(verdict(m, Gva{elrange + elrange_size}, ram), Verdict::ordinary);
    EXPECT_EQ(verdict(m, Gva{elrange - 1}, ram), Verdict::ordinary);
}

TEST(EnclaveAccess, OutsideElrangeToTheEpcIsTheAbortPageEvenToItsOwnPages) {
    EnclaveMachine m;
    m.go_inside();
    EXPECT_EQ(verdict(m, Gva{window_of(data_page)}, data_physical), Verdict::abort_page);
}

TEST(EnclaveAccess, FromOutsideTheEpcIsTheAbortPageAndTheRestOrdinary) {
    EnclaveMachine m;
    m.build_and_initialise();
    EXPECT_EQ(verdict(m, data_linear, data_physical), Verdict::abort_page);
    EXPECT_EQ(verdict(m, data_linear, data_physical, Access::write), Verdict::abort_page);
    EXPECT_EQ(verdict(m, Gva{source_at}, ram), Verdict::ordinary);
    m.as_kernel();
    EXPECT_EQ(verdict(m, data_linear, data_physical), Verdict::abort_page);
}

TEST(EnclaveAccess, FetchOutsideElrangeIsForbiddenBeforeAnyTranslation) {
    EnclaveMachine m;
    m.go_inside();
    EXPECT_FALSE(fetch_forbidden(m.c, elrange));
    EXPECT_FALSE(fetch_forbidden(m.c, elrange + elrange_size - 1));
    EXPECT_TRUE(fetch_forbidden(m.c, elrange + elrange_size));
    EXPECT_TRUE(fetch_forbidden(m.c, elrange - 1));
    asynchronous_exit(m.c, {});
    EXPECT_FALSE(fetch_forbidden(m.c, elrange - 1));
}

struct EpcmViolation {
    const char* name;
    void (*change)(EpcmEntry&);
    Access access = Access::read;
};

class EpcmCheck : public testing::TestWithParam<EpcmViolation> {};

TEST_P(EpcmCheck, FaultsWhenViolated) {
    EnclaveMachine m;
    m.go_inside();
    m.entry(data_page).x = true;
    ASSERT_EQ(verdict(m, data_linear, data_physical, GetParam().access), Verdict::enclave_page);
    GetParam().change(m.entry(data_page));
    EXPECT_EQ(verdict(m, data_linear, data_physical, GetParam().access), Verdict::page_fault);
}

constexpr EpcmViolation epcm_violations[] = {
    {"Valid", [](EpcmEntry& e) { e.valid = false; }},
    {"TypeTcs", [](EpcmEntry& e) { e.page_type = PageType::tcs; }},
    {"TypeTrim", [](EpcmEntry& e) { e.page_type = PageType::trim; }},
    {"OwnSecs", [](EpcmEntry& e) { e.enclave_secs = 9; }},
    {"Address", [](EpcmEntry& e) { e.enclave_address += page_size; }},
    {"Blocked", [](EpcmEntry& e) { e.blocked = true; }},
    {"Pending", [](EpcmEntry& e) { e.pending = true; }},
    {"Modified", [](EpcmEntry& e) { e.modified = true; }},
    {"Readable", [](EpcmEntry& e) { e.r = false; }},
    {"Writable", [](EpcmEntry& e) { e.w = false; }, Access::write},
    {"Executable", [](EpcmEntry& e) { e.x = false; }, Access::execute},
};

INSTANTIATE_TEST_SUITE_P(EnclaveAccess, EpcmCheck, testing::ValuesIn(epcm_violations),
                         [](const auto& test) { return std::string{test.param.name}; });

// Through the processor's own loads and stores.

TEST(EnclaveMemory, IsReadAndWrittenInsideAndHiddenOutside) {
    EnclaveMachine m;
    m.go_inside();
    ASSERT_TRUE(store(m.c, data_linear + 8, 8, 0x1122'3344'5566'7788).ok());
    EXPECT_EQ(load(m.c, data_linear + 8, 4).value(), 0x5566'7788u);
    asynchronous_exit(m.c, {});
    EXPECT_EQ(load(m.c, data_linear + 8, 8).value(), ~u64{0});
    ASSERT_TRUE(store(m.c, data_linear + 8, 8, 0).ok());
    EXPECT_EQ(m.epc.at<u64>(data_page * page_size + 8), 0x1122'3344'5566'7788u);
    ASSERT_TRUE(m.eresume().ok());
    EXPECT_EQ(load(m.c, data_linear + 8, 8).value(), 0x1122'3344'5566'7788u);
}

TEST(EnclaveMemory, ThatLeadsOutOfTheEpcIsAPageFaultWithTheSgxBit) {
    EnclaveMachine m;
    m.go_inside();
    m.map(data_linear.raw(), source_at, pte_p | pte_w | pte_u);
    EXPECT_FALSE(load(m.c, data_linear + 0x18, 8).ok());
    EXPECT_EQ(pending_fault(m.c), pf(data_linear.raw() + 0x18, sgx_fault(false, true)));
    EXPECT_FALSE(store(m.c, data_linear + 0x18, 8, 0).ok());
    EXPECT_EQ(pending_fault(m.c), pf(data_linear.raw() + 0x18, sgx_fault(true, true)));
}

TEST(EnclaveMemory, FaultsOfPagingComeBeforeTheEpcmAndHaveNoSgxBit) {
    EnclaveMachine m;
    m.go_inside();
    m.entry(data_page).blocked = true;
    m.map(data_linear.raw(), 0, 0);
    EXPECT_FALSE(load(m.c, data_linear, 8).ok());
    EXPECT_EQ(pending_fault(m.c), pf(data_linear.raw(), 4));
}

TEST(EnclaveMemory, ATranslationMadeOutsideIsNotUsedInside) {
    EnclaveMachine m;
    m.build_and_initialise();
    EXPECT_EQ(load(m.c, data_linear, 8).value(), ~u64{0});
    ASSERT_TRUE(m.eenter().ok());
    EXPECT_NE(load(m.c, data_linear, 8).value(), ~u64{0});
}

}  // namespace
}  // namespace postern::cpu::sgx
