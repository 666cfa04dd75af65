// SPDX-License-Identifier: Apache-2.0
// ENCLS[EDBGRD] and ENCLS[EDBGWR]. Leaf numbers, offsets and error codes are written out.
#include <gtest/gtest.h>

#include <string>

#include "cpu/flags.h"
#include "unit/cpu/sgx/enclave_machine.h"

namespace postern::cpu::sgx {
namespace {

constexpr auto read_leaf = static_cast<EnclsLeaf>(4), write_leaf = static_cast<EnclsLeaf>(5);
constexpr u64 status_flags = 0x8d5, zf_alone = 0x40;
constexpr u64 tcs_flags_at = window_of(tcs_page) + 8;
constexpr u64 free_page = 9;

void set_status_flags(Cpu& c) { set_rflags(c, rflags(c) | status_flags); }

TEST(Edbgrd, ReadsAWordThatTheEnclaveItselfMayNotRead) {
    EnclaveMachine m;
    m.build_and_initialise();
    m.as_kernel();
    m.entry(data_page).r = false;
    m.epc.at<u64>(data_page * page_size + 0x128) = 0x1122'3344'5566'7788;
    set_status_flags(m.c);
    ASSERT_TRUE(m.encls(read_leaf, 0, window_of(data_page) + 0x128).ok());
    EXPECT_EQ(m.c.gpr[rax], 0u);
    EXPECT_EQ(m.c.gpr[rbx], 0x1122'3344'5566'7788u);
    EXPECT_EQ(rflags(m.c) & status_flags, 0u);
}

TEST(Edbgrd, SeesTheDocumentedFieldsOfATcsAndNoMore) {
    EnclaveMachine m;
    m.build_and_initialise();
    m.as_kernel();
    ASSERT_TRUE(m.encls(read_leaf, 0, window_of(tcs_page) + 32).ok());
    EXPECT_EQ(m.c.gpr[rbx], 0x1010u);  // OENTRY
    ASSERT_TRUE(m.encls(read_leaf, 0, window_of(tcs_page) + 64).ok());
    EXPECT_EQ(m.c.gpr[rbx], 0x0001'ffff'0000'ffffu);
    EXPECT_FALSE(m.encls(read_leaf, 0, window_of(tcs_page) + 72).ok());
    EXPECT_EQ(pending_fault(m.c), gp0);
}

TEST(Edbgrd, OfAVersionArrayTellsOnlyWhetherTheSlotIsInUse) {
    EnclaveMachine m;
    m.build();
    m.entry(free_page).valid = true;
    m.entry(free_page).page_type = PageType::va;
    m.epc.at<u64>(free_page * page_size + 16) = 0x77;
    ASSERT_TRUE(m.encls(read_leaf, 1, window_of(free_page) + 16).ok());
    EXPECT_EQ(m.c.gpr[rbx], ~u64{0});
    ASSERT_TRUE(m.encls(read_leaf, 1, window_of(free_page) + 24).ok());
    EXPECT_EQ(m.c.gpr[rbx], 0u);
    EXPECT_FALSE(m.encls(write_leaf, 1, window_of(free_page) + 16).ok());
    EXPECT_EQ(pending_fault(m.c), pf(window_of(free_page) + 16, sgx_fault(true, false)));
}

TEST(Edbgwr, WritesAWordThatTheEnclaveItselfMayNotWrite) {
    EnclaveMachine m;
    m.build_and_initialise();
    m.as_kernel();
    set_status_flags(m.c);
    ASSERT_TRUE(m.encls(write_leaf, 0x8877'6655'4433'2211, window_of(code_page) + 0xff8).ok());
    EXPECT_EQ(m.c.gpr[rax], 0u);
    EXPECT_EQ(rflags(m.c) & status_flags, 0u);
    EXPECT_EQ(m.epc.at<u64>(code_page * page_size + 0xff8), 0x8877'6655'4433'2211u);
}

TEST(Edbgwr, OfTcsFlagsMakesTheNextEntryAnOptInEntry) {
    EnclaveMachine m;
    m.build_and_initialise();
    ASSERT_TRUE(m.eenter().ok());
    EXPECT_FALSE(m.c.enclave.debug_opt_in);

    EnclaveMachine debugged;
    debugged.build_and_initialise();
    debugged.as_kernel();
    ASSERT_TRUE(debugged.encls(write_leaf, 1, tcs_flags_at).ok());
    debugged.as_user();
    ASSERT_TRUE(debugged.eenter().ok());
    EXPECT_TRUE(debugged.c.enclave.debug_opt_in);
}

TEST(Edbgwr, OfAnythingElseInATcsFaults) {
    EnclaveMachine m;
    m.build();
    for (const u64 offset : {0x0u, 0x10u, 0x28u, 0x40u, 0x48u, 0xff8u}) {
        EXPECT_FALSE(m.encls(write_leaf, 0, window_of(tcs_page) + offset).ok()) << offset;
        EXPECT_EQ(pending_fault(m.c), gp0) << offset;
    }
}

TEST(Edbg, OfAPendingOrModifiedPageReturnsPageNotDebuggable) {
    for (const EnclsLeaf leaf : {read_leaf, write_leaf}) {
        for (const bool pending : {true, false}) {
            EnclaveMachine m;
            m.build();
            (pending ? m.entry(data_page).pending : m.entry(data_page).modified) = true;
            const u64 before = m.epc.at<u64>(data_page * page_size);
            ASSERT_TRUE(m.encls(leaf, 0x1234, window_of(data_page)).ok());
            EXPECT_EQ(m.c.gpr[rax], 21u);
            EXPECT_EQ(rflags(m.c) & status_flags, zf_alone);
            EXPECT_EQ(m.c.gpr[rbx], 0x1234u);
            EXPECT_EQ(m.epc.at<u64>(data_page * page_size), before);
        }
    }
}

constexpr u64 target = window_of(data_page);

constexpr Violation violations[]{
    {"Misaligned", [](EnclaveMachine& m) { m.c.gpr[rcx] += 4; }, gp0},
    {"NotInTheEpc", [](EnclaveMachine& m) { m.c.gpr[rcx] = source_at; }, pf(source_at, 0x8001)},
    {"NotMapped", [](EnclaveMachine& m) { m.c.gpr[rcx] = unmapped; }, pf(unmapped, 0)},
    {"NotValid", [](EnclaveMachine& m) { m.entry(data_page).valid = false; }, pf(target, 0x8001)},
    {"ASecs", [](EnclaveMachine& m) { m.c.gpr[rcx] = window_of(secs_page); },
     pf(window_of(secs_page), 0x8001)},
    {"ATrimmedPage", [](EnclaveMachine& m) { m.entry(data_page).page_type = PageType::trim; },
     pf(target, 0x8001)},
    {"OfAProductionEnclave",
     [](EnclaveMachine& m) { m.secs().attributes.flags.set(SgxAttribute::debug, false); }, gp0},
};

/// The same for both leaves, but that a write says so in its error code.
class EdbgViolation : public testing::TestWithParam<Violation> {};

TEST_P(EdbgViolation, FaultsAndChangesNothing) {
    for (const EnclsLeaf leaf : {read_leaf, write_leaf}) {
        EnclaveMachine m;
        m.build();
        m.c.gpr[rax] = static_cast<u64>(leaf);
        m.c.gpr[rcx] = target;
        GetParam().arrange(m);
        m.c.pending = {};
        const State before{m};
        EXPECT_FALSE(sgx::encls(m.c).ok());
        Fault expected = GetParam().fault;
        if (leaf == write_leaf && expected.vector == Vector::page_fault) expected.error_code |= 2;
        EXPECT_EQ(pending_fault(m.c), expected);
        EXPECT_TRUE(State{m} == before);
    }
}

INSTANTIATE_TEST_SUITE_P(Edbg, EdbgViolation, testing::ValuesIn(violations),
                         [](const auto& test) { return std::string{test.param.name}; });

}  // namespace
}  // namespace postern::cpu::sgx
