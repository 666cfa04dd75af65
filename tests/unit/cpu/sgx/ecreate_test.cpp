// SPDX-License-Identifier: Apache-2.0
// ENCLS[ECREATE]: what it makes of a page, and every check violated alone.
#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "unit/cpu/sgx/enclave_machine.h"

namespace postern::cpu::sgx {
namespace {

Secs& source(EnclaveMachine& m) { return m.at<Secs>(source_at); }

TEST(Ecreate, MakesThePageASecs) {
    EnclaveMachine m;
    m.prepare_ecreate();
    source(m).isvprodid = 5;
    source(m).isvsvn = 6;
    // What an earlier life of the page left.
    m.entry(secs_page) = {.enclave_address = elrange,
                          .tracking_epoch = 9,
                          .enclave_secs = 9,
                          .page_type = PageType::reg,
                          .valid = false,
                          .r = true,
                          .w = true,
                          .x = true,
                          .blocked = true,
                          .pending = true,
                          .modified = true,
                          .pr = true,
                          .reserved = {}};
    const u64 flags_before = m.c.flags.to_raw();
    ASSERT_TRUE(m.ecreate().ok());

    const EpcmEntry& entry = m.entry(secs_page);
    EXPECT_TRUE(entry.valid);
    EXPECT_EQ(entry.page_type, PageType::secs);
    EXPECT_EQ(entry.enclave_address, 0u);
    EXPECT_EQ(entry.tracking_epoch, 0u);
    EXPECT_FALSE(entry.r || entry.w || entry.x || entry.blocked || entry.pending || entry.modified);
    EXPECT_EQ(m.secs().baseaddr, elrange);
    EXPECT_EQ(m.secs().size, elrange_size);
    EXPECT_EQ(m.secs().isvprodid, 0u);
    EXPECT_EQ(m.secs().isvsvn, 0u);
    EXPECT_FALSE(m.secs().attributes.flags.has(SgxAttribute::init));
    EXPECT_EQ(m.epc.hidden(secs_page).enclave_context, epc_physical + secs_page * page_size);
    EXPECT_EQ(m.c.gpr[rax], 0u);
    EXPECT_EQ(m.c.flags.to_raw(), flags_before);
}

TEST(Ecreate, GivesEveryEnclaveAnIdOfItsOwn) {
    EnclaveMachine m;
    m.prepare_ecreate();
    ASSERT_TRUE(m.ecreate().ok());
    ASSERT_TRUE(m.encls(EnclsLeaf::ecreate, pageinfo_at, window_of(1)).ok());
    EXPECT_NE(m.epc.hidden(secs_page).enclave_id, m.epc.hidden(1).enclave_id);
}

TEST(Ecreate, TakesAvxInXfrm) {
    EnclaveMachine m;
    m.prepare_ecreate();
    source(m).attributes.xfrm = {Xcr0::x87, Xcr0::sse, Xcr0::avx};
    EXPECT_TRUE(m.ecreate().ok());
}

TEST(Ecreate, TakesConfigurationOnlyWithKss) {
    EnclaveMachine m;
    m.prepare_ecreate();
    source(m).attributes.flags.set(SgxAttribute::kss);
    source(m).configid[63] = 1;
    source(m).configsvn = 2;
    EXPECT_TRUE(m.ecreate().ok());
}

TEST(Ecreate, TakesA32BitEnclaveBelow2To31) {
    EnclaveMachine m;
    m.prepare_ecreate();
    source(m).attributes.flags.set(SgxAttribute::mode64bit, false);
    EXPECT_TRUE(m.ecreate().ok());
}

class EcreateViolation : public testing::TestWithParam<Violation> {};

TEST_P(EcreateViolation, FaultsAndChangesNothing) {
    EnclaveMachine m;
    m.prepare_ecreate();
    m.c.gpr[rax] = 0;
    m.c.gpr[rbx] = pageinfo_at;
    m.c.gpr[rcx] = window_of(secs_page);
    GetParam().arrange(m);
    const State before{m};
    EXPECT_FALSE(sgx::encls(m.c).ok());
    EXPECT_EQ(pending_fault(m.c), GetParam().fault);
    EXPECT_TRUE(State{m} == before);
}

constexpr Fault not_in_epc = pf(source_at, sgx_fault(true, false));

constexpr Violation violations[] = {
    {"PageinfoNotAlignedTo32",
     [](EnclaveMachine& m) {
         m.at<std::array<u64, 4>>(pageinfo_at + 0x90) = {0, source_at, secinfo_at, 0};
         m.c.gpr[rbx] = pageinfo_at + 0x90;
     },
     gp0},
    {"PageNotAligned", [](EnclaveMachine& m) { m.c.gpr[rcx] += 0x800; }, gp0},
    {"PageNotInTheEpc", [](EnclaveMachine& m) { m.c.gpr[rcx] = source_at; }, not_in_epc},
    {"PageNotMapped", [](EnclaveMachine& m) { m.c.gpr[rcx] = unmapped; }, pf(unmapped, 2)},
    {"PageNotWritable",
     [](EnclaveMachine& m) {
         m.map(window_of(secs_page), epc_physical + secs_page * page_size, pte_p | pte_u);
     },
     pf(window_of(secs_page), 3)},
    {"PageinfoNotMapped", [](EnclaveMachine& m) { m.c.gpr[rbx] = unmapped; }, pf(unmapped, 0)},
    {"SourceNotAligned",
     [](EnclaveMachine& m) {
         m.at<Pageinfo>(pageinfo_at).srcpge = source_at + 0x100;
         std::memmove(&m.at<u8>(source_at + 0x100), &m.at<u8>(source_at), page_size);
     },
     gp0},
    {"SecinfoNotAlignedTo64",
     [](EnclaveMachine& m) { m.at<Pageinfo>(pageinfo_at).secinfo = secinfo_at + 0x20; }, gp0},
    {"LinearAddressNotZero",
     [](EnclaveMachine& m) { m.at<Pageinfo>(pageinfo_at).linaddr = elrange; }, gp0},
    {"SecsOfPageinfoNotZero",
     [](EnclaveMachine& m) { m.at<Pageinfo>(pageinfo_at).secs = window_of(1); }, gp0},
    {"SecinfoFlagsReserved",
     [](EnclaveMachine& m) {
         m.at<Secinfo>(secinfo_at).flags = SecinfoFlags::from_raw(u64{1} << 16);
     },
     gp0},
    {"SecinfoBytesReserved",
     [](EnclaveMachine& m) { m.at<Secinfo>(secinfo_at).reserved_8[55] = 1; }, gp0},
    {"PageTypeNotSecs",
     [](EnclaveMachine& m) { m.at<Secinfo>(secinfo_at).flags = SecinfoFlags::from_raw(0x100); },
     gp0},
    {"PageValidAlready", [](EnclaveMachine& m) { m.entry(secs_page).valid = true; },
     pf(window_of(secs_page), sgx_fault(true, false))},
    {"SourceNotMapped", [](EnclaveMachine& m) { m.at<Pageinfo>(pageinfo_at).srcpge = unmapped; },
     pf(unmapped, 0)},
    {"XfrmWithoutX87", [](EnclaveMachine& m) { source(m).attributes.xfrm = {Xcr0::sse}; }, gp0},
    {"XfrmWithoutSse", [](EnclaveMachine& m) { source(m).attributes.xfrm = {Xcr0::x87}; }, gp0},
    {"XfrmThatXsetbvRefuses",
     [](EnclaveMachine& m) { source(m).attributes.xfrm.set(Xcr0::opmask); }, gp0},
    {"XfrmUnsupported", [](EnclaveMachine& m) { source(m).attributes.xfrm.set(Xcr0::bndregs); },
     gp0},
    {"XfrmBit63",
     [](EnclaveMachine& m) { source(m).attributes.xfrm = Xcr0Word::from_raw(u64{1} << 63 | 3); },
     gp0},
    {"MiscselectUnsupported",
     [](EnclaveMachine& m) { source(m).miscselect.set(SgxMiscselect::cpinfo); }, gp0},
    {"SsaFrameTooSmall", [](EnclaveMachine& m) { source(m).ssaframesize = 0; }, gp0},
    {"BaseNotCanonical", [](EnclaveMachine& m) { source(m).baseaddr = not_canonical; }, gp0},
    {"BaseOfA32BitEnclaveAbove4GiB",
     [](EnclaveMachine& m) {
         source(m).attributes.flags.set(SgxAttribute::mode64bit, false);
         source(m).baseaddr = u64{1} << 32;
     },
     gp0},
    {"SizeOfA64BitEnclaveAtTheLimit",
     [](EnclaveMachine& m) {
         source(m).size = u64{1} << 56;
         source(m).baseaddr = 0;
     },
     gp0},
    {"SizeOfA32BitEnclaveAtTheLimit",
     [](EnclaveMachine& m) {
         source(m).attributes.flags.set(SgxAttribute::mode64bit, false);
         source(m).size = u64{1} << 31;
         source(m).baseaddr = 0;
     },
     gp0},
    {"SizeOfOnePage", [](EnclaveMachine& m) { source(m).size = page_size; }, gp0},
    {"SizeNotAPowerOfTwo",
     [](EnclaveMachine& m) {
         source(m).size = 3 * page_size;
         source(m).baseaddr = 0;
     },
     gp0},
    {"BaseNotAlignedToTheSize",
     [](EnclaveMachine& m) { source(m).baseaddr = elrange + elrange_size / 2; }, gp0},
    {"AttributeInit", [](EnclaveMachine& m) { source(m).attributes.flags.set(SgxAttribute::init); },
     gp0},
    {"AttributeReserved",
     [](EnclaveMachine& m) { source(m).attributes.flags = SgxAttributeFlags::from_raw(0xc); }, gp0},
    {"AttributeCetUnsupported",
     [](EnclaveMachine& m) { source(m).attributes.flags.set(SgxAttribute::cet); }, gp0},
    {"AttributeAexnotifyWithoutEdeccssa",
     [](EnclaveMachine& m) {
         m.model.features.set(Feature::sgx_edeccssa, false);
         source(m).attributes.flags.set(SgxAttribute::aexnotify);
     },
     gp0},
    {"ReservedAt24", [](EnclaveMachine& m) { source(m).cet_leg_bitmap_offset = 1; }, gp0},
    {"ReservedAt32",
     [](EnclaveMachine& m) { source(m).cet_attributes = SgxCetAttributes::from_raw(1); }, gp0},
    {"ReservedAt33", [](EnclaveMachine& m) { source(m).reserved_33[14] = 1; }, gp0},
    {"ReservedAt96", [](EnclaveMachine& m) { source(m).reserved_96[0] = 1; }, gp0},
    {"ReservedAt160", [](EnclaveMachine& m) { source(m).reserved_160[31] = 1; }, gp0},
    {"ConfigidWithoutKss", [](EnclaveMachine& m) { source(m).configid[0] = 1; }, gp0},
    {"ConfigsvnWithoutKss", [](EnclaveMachine& m) { source(m).configsvn = 1; }, gp0},
    {"ReservedAt262", [](EnclaveMachine& m) { source(m).reserved_262[0] = 1; }, gp0},
    {"ReservedAt4095", [](EnclaveMachine& m) { source(m).reserved_262[3833] = 1; }, gp0},
};

INSTANTIATE_TEST_SUITE_P(Ecreate, EcreateViolation, testing::ValuesIn(violations),
                         [](const auto& test) { return std::string{test.param.name}; });

}  // namespace
}  // namespace postern::cpu::sgx
