// SPDX-License-Identifier: Apache-2.0
// ENCLS[EPA].
#include <gtest/gtest.h>

#include <string>

#include "unit/cpu/sgx/paging_machine.h"

namespace postern::cpu::sgx {
namespace {

TEST(Epa, MakesAFreePageAnEmptyVersionArrayOfNoEnclave) {
    PagingMachine m;
    std::memset(m.epc.page(va_page), 0xa5, page_size);
    m.entry(va_page) = {0x1234'5000, 9,    5,    PageType::reg, false, true, true,
                        true,        true, true, true,          true,  {}};
    m.add_version_array();
    const EpcmEntry& entry = m.entry(va_page);
    EXPECT_TRUE(entry.valid);
    EXPECT_EQ(entry.page_type, PageType::va);
    EXPECT_EQ(entry.enclave_address, 0u);
    EXPECT_FALSE(entry.r || entry.w || entry.x);
    EXPECT_FALSE(entry.blocked || entry.pending || entry.modified || entry.pr);
    const auto bytes = m.content(va_page);
    EXPECT_TRUE(std::ranges::all_of(bytes, [](u8 byte) { return byte == 0; }));
}

TEST(Epa, LeavesRaxAndTheFlags) {
    PagingMachine m;
    const Outcome outcome = m.leaf(EnclsLeaf::epa, 3, window_of(va_page));
    EXPECT_EQ(outcome, (Outcome{0xa, flags_of_status}));
}

TEST(Epa, ChangesNoOtherPage) {
    PagingMachine m;
    m.build();
    const State before{m};
    m.add_version_array();
    State after{m};
    std::copy_n(before.pages.begin() + va_page * page_size, page_size,
                after.pages.begin() + va_page * page_size);
    EXPECT_TRUE(after.pages == before.pages);
}

TEST(Epa, DropsCodeThatWasCachedFromThePagesEarlierLife) {
    PagingMachine m;
    Block block{};
    block.host = m.epc.page(va_page) + 0x20;
    m.c.blocks->insert(m.c, &block);
    m.add_version_array();
    EXPECT_FALSE(m.c.blocks->has_code(block.host));
}

class EpaViolation : public testing::TestWithParam<Violation> {};

TEST_P(EpaViolation, FaultsAndChangesNothing) {
    PagingMachine m;
    m.build();
    m.c.gpr[rax] = 0xa;
    m.c.gpr[rbx] = 3;
    m.c.gpr[rcx] = window_of(va_page);
    GetParam().arrange(m);
    const State before{m};
    EXPECT_FALSE(sgx::encls(m.c).ok());
    EXPECT_EQ(pending_fault(m.c), GetParam().fault);
    EXPECT_TRUE(State{m} == before);
}

constexpr Violation violations[] = {
    {"RbxIsAnotherPageType", [](EnclaveMachine& m) { m.c.gpr[rbx] = 2; }, gp0},
    {"RbxHasAHighHalf", [](EnclaveMachine& m) { m.c.gpr[rbx] = 0x1'0000'0003; }, gp0},
    {"PageNotAligned", [](EnclaveMachine& m) { m.c.gpr[rcx] += 8; }, gp0},
    {"PageNotCanonical", [](EnclaveMachine& m) { m.c.gpr[rcx] = not_canonical; }, gp0},
    {"PageNotMapped", [](EnclaveMachine& m) { m.c.gpr[rcx] = unmapped; }, pf(unmapped, 2)},
    {"PageNotInTheEpc", [](EnclaveMachine& m) { m.c.gpr[rcx] = source_at; },
     pf(source_at, sgx_fault(true, false))},
    {"PageValidAlready", [](EnclaveMachine& m) { m.c.gpr[rcx] = window_of(data_page); },
     pf(window_of(data_page), sgx_fault(true, false))},
};

INSTANTIATE_TEST_SUITE_P(Epa, EpaViolation, testing::ValuesIn(violations),
                         [](const auto& test) { return std::string{test.param.name}; });

TEST(Epa, RequestedConflictIsAGeneralProtectionFault) {
    PagingMachine m;
    m.epc.conflicts.rate[0xa] = Conflicts::always;
    EXPECT_FALSE(m.encls(EnclsLeaf::epa, 3, window_of(va_page)).ok());
    EXPECT_EQ(pending_fault(m.c), gp0);
    EXPECT_FALSE(m.entry(va_page).valid);
}

}  // namespace
}  // namespace postern::cpu::sgx
