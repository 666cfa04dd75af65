// SPDX-License-Identifier: Apache-2.0
// ENCLS[EADD]: what it makes of a page, and every check violated alone.
#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "unit/cpu/sgx/enclave_machine.h"

namespace postern::cpu::sgx {
namespace {

constexpr u64 reg_rw = 0x203, reg_rwx = 0x207, type_tcs = 0x100;

void create(EnclaveMachine& m) {
    m.prepare_ecreate();
    ASSERT_TRUE(m.ecreate().ok());
}

TEST(Eadd, CopiesThePageAndFillsItsEpcmEntry) {
    EnclaveMachine m;
    create(m);
    m.prepare_eadd(data_offset, reg_rw);
    ASSERT_TRUE(m.eadd(data_page).ok());
    EXPECT_EQ(std::memcmp(m.epc.page(data_page), &m.at<u8>(source_at), page_size), 0);
    const EpcmEntry& entry = m.entry(data_page);
    EXPECT_TRUE(entry.valid && entry.r && entry.w && !entry.x);
    EXPECT_EQ(entry.page_type, PageType::reg);
    EXPECT_EQ(entry.enclave_address, elrange + data_offset);
    EXPECT_EQ(entry.enclave_secs, secs_page);
    EXPECT_FALSE(entry.blocked || entry.pending || entry.modified || entry.pr);
    EXPECT_EQ(m.epc.hidden(secs_page).children, 1u);
}

TEST(Eadd, FixesUpATcs) {
    EnclaveMachine m;
    create(m);
    m.prepare_eadd(tcs_offset, type_tcs | 7);
    m.fill_tcs_source();
    Tcs& source = m.at<Tcs>(source_at);
    source.flags = {TcsFlag::dbgoptin};
    source.cssa = 1;
    source.aep = 0x1234;
    source.state = TcsState::active;
    ASSERT_TRUE(m.eadd(tcs_page).ok());
    EXPECT_EQ(m.tcs().flags.to_raw(), 0u);
    EXPECT_EQ(m.tcs().cssa, 0u);
    EXPECT_EQ(m.tcs().aep, 0u);
    EXPECT_EQ(m.tcs().state, TcsState::inactive);
    EXPECT_EQ(m.tcs().ossa, ssa_offset);
    const EpcmEntry& entry = m.entry(tcs_page);
    EXPECT_EQ(entry.page_type, PageType::tcs);
    EXPECT_FALSE(entry.r || entry.w || entry.x);
}

TEST(Eadd, TakesAPageThatNobodyMayReadOrWrite) {
    EnclaveMachine m;
    create(m);
    m.prepare_eadd(data_offset, 0x200);
    EXPECT_TRUE(m.eadd(data_page).ok());
}

TEST(Eadd, TakesTheLastPageOfElrange) {
    EnclaveMachine m;
    create(m);
    m.prepare_eadd(elrange_size - page_size, reg_rwx);
    EXPECT_TRUE(m.eadd(data_page).ok());
}

TEST(Eadd, DropsCodeThatWasCachedFromThePagesEarlierLife) {
    EnclaveMachine m;
    create(m);
    Block block{};
    block.host = m.epc.page(data_page) + 0x20;
    m.c.blocks->insert(m.c, &block);
    m.prepare_eadd(data_offset, reg_rwx);
    ASSERT_TRUE(m.eadd(data_page).ok());
    EXPECT_FALSE(m.c.blocks->has_code(block.host));
}

class EaddViolation : public testing::TestWithParam<Violation> {};

TEST_P(EaddViolation, FaultsAndChangesNothing) {
    EnclaveMachine m;
    create(m);
    m.prepare_eadd(data_offset, reg_rw);
    m.c.gpr[rax] = static_cast<u64>(EnclsLeaf::eadd);
    m.c.gpr[rbx] = pageinfo_at;
    m.c.gpr[rcx] = window_of(data_page);
    GetParam().arrange(m);
    const State before{m};
    EXPECT_FALSE(sgx::encls(m.c).ok());
    EXPECT_EQ(pending_fault(m.c), GetParam().fault);
    EXPECT_TRUE(State{m} == before);
}

Pageinfo& info(EnclaveMachine& m) { return m.at<Pageinfo>(pageinfo_at); }
void set_flags(EnclaveMachine& m, u64 flags) {
    m.at<Secinfo>(secinfo_at).flags = SecinfoFlags::from_raw(flags);
}
Tcs& use_tcs(EnclaveMachine& m) {
    set_flags(m, type_tcs);
    m.fill_tcs_source();
    return m.at<Tcs>(source_at);
}
void make_32_bit(EnclaveMachine& m) {
    m.secs().attributes.flags.set(SgxAttribute::mode64bit, false);
}

constexpr u32 write_fault = sgx_fault(true, false);

constexpr Violation violations[] = {
    {"PageinfoNotAlignedTo32",
     [](EnclaveMachine& m) {
         m.at<std::array<u64, 4>>(pageinfo_at + 0x90) = {info(m).linaddr, source_at, secinfo_at,
                                                         window_of(secs_page)};
         m.c.gpr[rbx] = pageinfo_at + 0x90;
     },
     gp0},
    {"PageNotAligned", [](EnclaveMachine& m) { m.c.gpr[rcx] += 1; }, gp0},
    {"PageNotInTheEpc", [](EnclaveMachine& m) { m.c.gpr[rcx] = source_at; },
     pf(source_at, write_fault)},
    {"SourceNotAligned", [](EnclaveMachine& m) { info(m).srcpge += 0x10; }, gp0},
    {"SecsNotAligned", [](EnclaveMachine& m) { info(m).secs += 0x10; }, gp0},
    {"SecinfoNotAlignedTo64",
     [](EnclaveMachine& m) {
         m.at<u64>(secinfo_at + 0x20) = reg_rw;
         info(m).secinfo += 0x20;
         // Of a SECINFO there bytes 8 to 63 are zero.
     },
     gp0},
    {"LinearAddressNotAligned", [](EnclaveMachine& m) { info(m).linaddr += 0x10; }, gp0},
    {"SecsNotInTheEpc", [](EnclaveMachine& m) { info(m).secs = source_at; },
     pf(source_at, write_fault)},
    {"SecinfoFlagsReserved", [](EnclaveMachine& m) { set_flags(m, reg_rw | 0x40); }, gp0},
    {"SecinfoBytesReserved", [](EnclaveMachine& m) { m.at<Secinfo>(secinfo_at).reserved_8[0] = 1; },
     gp0},
    {"PageTypeSecs", [](EnclaveMachine& m) { set_flags(m, 0x003); }, gp0},
    {"PageTypeVa", [](EnclaveMachine& m) { set_flags(m, 0x303); }, gp0},
    {"PageTypeShadowStackWithoutCet", [](EnclaveMachine& m) { set_flags(m, 0x503); }, gp0},
    {"PageValidAlready", [](EnclaveMachine& m) { m.entry(data_page).valid = true; },
     pf(window_of(data_page), write_fault)},
    {"SecsNotValid", [](EnclaveMachine& m) { m.entry(secs_page).valid = false; },
     pf(window_of(secs_page), write_fault)},
    {"SecsOfAnotherType", [](EnclaveMachine& m) { m.entry(secs_page).page_type = PageType::reg; },
     pf(window_of(secs_page), write_fault)},
    {"SourceNotMapped", [](EnclaveMachine& m) { info(m).srcpge = unmapped; }, pf(unmapped, 0)},
    {"TcsReservedAt72", [](EnclaveMachine& m) { use_tcs(m).ocetssa = 1; }, gp0},
    {"TcsReservedAt80", [](EnclaveMachine& m) { use_tcs(m).prevssp = 1; }, gp0},
    {"TcsReservedAt4095", [](EnclaveMachine& m) { use_tcs(m).reserved_88[4007] = 1; }, gp0},
    {"TcsFsLimitOfA32BitEnclave",
     [](EnclaveMachine& m) {
         make_32_bit(m);
         use_tcs(m).fslimit = 0xff0;
     },
     gp0},
    {"TcsGsLimitOfA32BitEnclave",
     [](EnclaveMachine& m) {
         make_32_bit(m);
         use_tcs(m).gslimit = 0xff0;
     },
     gp0},
    {"WritableButNotReadable", [](EnclaveMachine& m) { set_flags(m, 0x202); }, gp0},
    {"AddressBelowElrange", [](EnclaveMachine& m) { info(m).linaddr = elrange - page_size; }, gp0},
    {"AddressAboveElrange", [](EnclaveMachine& m) { info(m).linaddr = elrange + elrange_size; },
     gp0},
    {"EnclaveInitialised",
     [](EnclaveMachine& m) { m.secs().attributes.flags.set(SgxAttribute::init); }, gp0},
};

INSTANTIATE_TEST_SUITE_P(Eadd, EaddViolation, testing::ValuesIn(violations),
                         [](const auto& test) { return std::string{test.param.name}; });

class EextendViolation : public testing::TestWithParam<Violation> {};

TEST_P(EextendViolation, FaultsAndChangesNothing) {
    EnclaveMachine m;
    m.build();
    m.c.gpr[rax] = static_cast<u64>(EnclsLeaf::eextend);
    m.c.gpr[rbx] = window_of(secs_page);
    m.c.gpr[rcx] = window_of(data_page) + 0x100;
    GetParam().arrange(m);
    const State before{m};
    EXPECT_FALSE(sgx::encls(m.c).ok());
    EXPECT_EQ(pending_fault(m.c), GetParam().fault);
    EXPECT_TRUE(State{m} == before);
}

constexpr u32 read_fault = sgx_fault(false, false);
constexpr u64 chunk = window_of(data_page) + 0x100;

constexpr Violation eextend_violations[] = {
    {"SecsNotAligned", [](EnclaveMachine& m) { m.c.gpr[rbx] += 8; }, gp0},
    {"SecsNotInTheEpc", [](EnclaveMachine& m) { m.c.gpr[rbx] = source_at; },
     pf(source_at, write_fault)},
    {"ChunkNotAlignedTo256", [](EnclaveMachine& m) { m.c.gpr[rcx] += 0x80; }, gp0},
    {"ChunkNotInTheEpc", [](EnclaveMachine& m) { m.c.gpr[rcx] = source_at; },
     pf(source_at, read_fault)},
    {"PageNotValid", [](EnclaveMachine& m) { m.entry(data_page).valid = false; },
     pf(chunk, read_fault)},
    {"PageOfAnotherType", [](EnclaveMachine& m) { m.c.gpr[rcx] = window_of(secs_page); },
     pf(window_of(secs_page), read_fault)},
    {"SecsOfAnotherEnclave", [](EnclaveMachine& m) { m.c.gpr[rbx] = window_of(9); }, gp0},
    {"EnclaveInitialised",
     [](EnclaveMachine& m) { m.secs().attributes.flags.set(SgxAttribute::init); }, gp0},
};

INSTANTIATE_TEST_SUITE_P(Eextend, EextendViolation, testing::ValuesIn(eextend_violations),
                         [](const auto& test) { return std::string{test.param.name}; });

TEST(Eextend, MeasuresATcsToo) {
    EnclaveMachine m;
    m.build();
    EXPECT_TRUE(m.eextend(tcs_page, 0).ok());
}

}  // namespace
}  // namespace postern::cpu::sgx
