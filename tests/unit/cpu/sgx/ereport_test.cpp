// SPDX-License-Identifier: Apache-2.0
// ENCLU[EREPORT]: what the report says, whom it convinces, and every check violated alone. The MAC
// is computed here, from the manual's definition and with the key that EGETKEY gives the target.
#include <gtest/gtest.h>

#include <string>

#include "cpu/flags.h"
#include "cpu/mmu/access.h"
#include "unit/cpu/sgx/key_machine.h"

namespace postern::cpu::sgx {
namespace {

constexpr u32 user_read = sgx_fault(false, true);
constexpr u32 user_write = sgx_fault(true, true);

TEST(Ereport, SaysWhoTheEnclaveIs) {
    KeyMachine m;
    Secs& secs = m.secs();
    secs.mrenclave.fill(0x11);
    secs.mrsigner.fill(0x22);
    secs.configid.fill(0x33);
    secs.configsvn = 0x4455;
    SecsHidden& hidden = m.epc.hidden(secs_page);
    hidden.isvfamilyid.fill(0x66);
    hidden.isvextprodid.fill(0x77);
    m.operand<std::array<u8, 512>>(output_page, report_offset).fill(0xee);
    const Report report = m.ereport({});

    std::array<u8, 416> expected{};  // all but the MAC
    const auto put = [&](size_t offset, size_t size, u8 value) {
        std::memset(expected.data() + offset, value, size);
    };
    put(0, 2, 2);        // CPUSVN
    put(16, 1, 1);       // MISCSELECT: EXINFO
    put(32, 16, 0x77);   // ISVEXTPRODID
    put(48, 1, 7);       // ATTRIBUTES: INIT, DEBUG, MODE64BIT
    put(56, 1, 3);       // XFRM
    put(64, 32, 0x11);   // MRENCLAVE
    put(128, 32, 0x22);  // MRSIGNER
    put(192, 64, 0x33);  // CONFIGID
    put(256, 1, 0x34);   // ISVPRODID
    put(257, 1, 0x12);
    put(258, 1, 7);     // ISVSVN
    put(260, 1, 0x55);  // CONFIGSVN
    put(261, 1, 0x44);
    put(304, 16, 0x66);  // ISVFAMILYID
    for (size_t n = 0; n < 64; ++n) put(320 + n, 1, static_cast<u8>(n + 1));
    EXPECT_EQ(std::memcmp(&report, expected.data(), 384), 0);
    EXPECT_NE(report.keyid, decltype(report.keyid){});
    // 432 bytes are written, and no more.
    for (size_t n = 432; n < 512; ++n)
        EXPECT_EQ(m.operand<u8>(output_page, report_offset + n), 0xee);
}

TEST(Ereport, ChangesNeitherRegistersNorFlagsNorAnyOtherByte) {
    KeyMachine m;
    m.prepare_ereport(m.own_target());
    m.c.gpr[rax] = 0x5555'5555'0000'0000;  // the upper half counts for nothing
    set_rflags(m.c, rflags(m.c) | rflags_status_mask);
    m.report() = {};
    const State before{m};
    ASSERT_TRUE(sgx::enclu(m.c).ok());
    EXPECT_EQ(m.c.next_rip, m.c.rip + 3);
    m.report() = {};
    EXPECT_TRUE(State{m} == before);
}

TEST(Ereport, ConvincesItsTargetAndNobodyElse) {
    KeyMachine a, b;
    a.secs().mrenclave[0] ^= 1;
    const Report report = a.ereport(b.own_target());
    EXPECT_TRUE(verifies(b, report));
    EXPECT_FALSE(verifies(a, report));
}

TEST(Ereport, ConvincesNobodyOnAnotherProcessor) {
    KeyMachine a{1}, same{1}, other{2};
    const Report report = a.ereport(a.own_target());
    EXPECT_TRUE(verifies(same, report));
    EXPECT_FALSE(verifies(other, report));
}

struct Field {
    const char* name;
    void (*change)(KeyMachine&);
};

class EreportTarget : public testing::TestWithParam<Field> {};

TEST_P(EreportTarget, MustBeTheEnclaveInEveryPartOfItsIdentity) {
    KeyMachine m;
    const Report report = m.ereport(m.own_target());
    ASSERT_TRUE(verifies(m, report));
    GetParam().change(m);
    EXPECT_FALSE(verifies(m, report));
}

constexpr Field identity[] = {
    {"Mrenclave", [](KeyMachine& m) { m.secs().mrenclave[31] ^= 0x80; }},
    {"Debug", [](KeyMachine& m) { m.secs().attributes.flags.set(SgxAttribute::debug, false); }},
    {"Provisionkey",
     [](KeyMachine& m) { m.secs().attributes.flags.set(SgxAttribute::provisionkey); }},
    {"Xfrm", [](KeyMachine& m) { m.secs().attributes.xfrm.set(Xcr0::avx); }},
    {"Miscselect", [](KeyMachine& m) { m.secs().miscselect = {}; }},
    {"Configid", [](KeyMachine& m) { m.secs().configid[63] = 1; }},
    {"Configsvn", [](KeyMachine& m) { m.secs().configsvn = 1; }},
};
INSTANTIATE_TEST_SUITE_P(Ereport, EreportTarget, testing::ValuesIn(identity),
                         [](const auto& test) { return std::string{test.param.name}; });

class EreportBystander : public testing::TestWithParam<Field> {};

TEST_P(EreportBystander, DoesNotMatterToTheTarget) {
    KeyMachine m;
    const Report report = m.ereport(m.own_target());
    GetParam().change(m);
    EXPECT_TRUE(verifies(m, report));
}

constexpr Field bystanders[] = {
    {"Mrsigner", [](KeyMachine& m) { m.secs().mrsigner[0] ^= 1; }},
    {"Isvprodid", [](KeyMachine& m) { ++m.secs().isvprodid; }},
    {"Isvsvn", [](KeyMachine& m) { ++m.secs().isvsvn; }},
    {"Isvfamilyid", [](KeyMachine& m) { m.epc.hidden(secs_page).isvfamilyid[0] = 1; }},
    {"Isvextprodid", [](KeyMachine& m) { m.epc.hidden(secs_page).isvextprodid[0] = 1; }},
    {"EnclaveId", [](KeyMachine& m) { ++m.epc.hidden(secs_page).enclave_id; }},
};
INSTANTIATE_TEST_SUITE_P(Ereport, EreportBystander, testing::ValuesIn(bystanders),
                         [](const auto& test) { return std::string{test.param.name}; });

TEST(Ereport, IsBoundToEveryByteBelowItsKeyid) {
    KeyMachine m;
    const Report report = m.ereport(m.own_target());
    for (size_t n = 0; n < 384; ++n) {
        Report forged = report;
        reinterpret_cast<u8*>(&forged)[n] ^= 1;
        EXPECT_FALSE(verifies(m, forged)) << n;
    }
}

TEST(Ereport, OtherKeyidsGiveOtherKeys) {
    KeyMachine m;
    Report report = m.ereport(m.own_target());
    report.keyid[31] ^= 1;
    EXPECT_FALSE(verifies(m, report));
}

TEST(Ereport, IgnoresReservedBytesOfTargetinfo) {
    KeyMachine m;
    Targetinfo target = m.own_target();
    target.reserved_49 = 0xff;
    target.reserved_56.fill(0xff);
    target.reserved_128.fill(0xff);
    EXPECT_TRUE(verifies(m, m.ereport(target)));
}

TEST(Ereport, MayReplaceItsOwnTarget) {
    KeyMachine m;
    const Report expected = m.ereport(m.own_target());
    m.prepare_ereport(m.own_target());
    m.c.gpr[rdx] = targetinfo_at;
    ASSERT_TRUE(sgx::enclu(m.c).ok());
    EXPECT_EQ(std::memcmp(&m.target(), &expected, sizeof expected), 0);
}

// Faults.

void expect_fault_only(KeyMachine& m, const Fault& fault) {
    const State before{m};
    EXPECT_FALSE(sgx::enclu(m.c).ok());
    EXPECT_EQ(pending_fault(m.c), fault);
    EXPECT_TRUE(State{m} == before);
}

class EreportViolation : public testing::TestWithParam<Violation> {};

TEST_P(EreportViolation, FaultsAndChangesNothing) {
    KeyMachine m;
    m.prepare_ereport(m.own_target());
    GetParam().arrange(m);
    expect_fault_only(m, GetParam().fault);
}

constexpr Violation violations[] = {
    {"TargetinfoNotAlignedTo512", [](EnclaveMachine& m) { m.c.gpr[rbx] += 0x100; }, gp0},
    {"TargetinfoBelowElrange", [](EnclaveMachine& m) { m.c.gpr[rbx] = elrange - 512; }, gp0},
    {"TargetinfoAboveElrange", [](EnclaveMachine& m) { m.c.gpr[rbx] = elrange + elrange_size; },
     gp0},
    {"TargetinfoNotCanonical", [](EnclaveMachine& m) { m.c.gpr[rbx] = not_canonical; }, gp0},
    {"TargetinfoNotMapped", [](EnclaveMachine& m) { m.c.gpr[rbx] = elrange + 0x8000; },
     pf(elrange + 0x8000, 4)},
    {"TargetinfoNotInTheEpc",
     [](EnclaveMachine& m) { m.map(input_linear, source_at, pte_p | pte_w | pte_u); },
     pf(targetinfo_at, user_read)},
    {"TargetinfoInASupervisorsPage",
     [](EnclaveMachine& m) {
         m.map(input_linear, epc_physical + input_page * page_size, pte_p | pte_w);
     },
     pf(targetinfo_at, 5)},
    {"TargetinfoNotReadable", [](EnclaveMachine& m) { m.entry(input_page).r = false; },
     pf(targetinfo_at, user_read)},
    {"ReportdataNotAlignedTo128", [](EnclaveMachine& m) { m.c.gpr[rcx] += 0x40; }, gp0},
    {"ReportdataOutsideElrange", [](EnclaveMachine& m) { m.c.gpr[rcx] = source_at; }, gp0},
    {"ReportdataNotMapped", [](EnclaveMachine& m) { m.c.gpr[rcx] = elrange + 0x8000; },
     pf(elrange + 0x8000, 4)},
    {"ReportdataNotInTheEpc",
     [](EnclaveMachine& m) { m.map(second_linear, source_at, pte_p | pte_w | pte_u); },
     pf(reportdata_at, user_read)},
    {"ReportdataNotReadable", [](EnclaveMachine& m) { m.entry(second_page).r = false; },
     pf(reportdata_at, user_read)},
    {"ReportNotAlignedTo512", [](EnclaveMachine& m) { m.c.gpr[rdx] += 0x100; }, gp0},
    {"ReportOutsideElrange", [](EnclaveMachine& m) { m.c.gpr[rdx] = source_at; }, gp0},
    {"ReportNotMapped", [](EnclaveMachine& m) { m.c.gpr[rdx] = elrange + 0x8000; },
     pf(elrange + 0x8000, 6)},
    {"ReportInAReadOnlyMapping",
     [](EnclaveMachine& m) {
         m.map(output_linear, epc_physical + output_page * page_size, pte_p | pte_u);
     },
     pf(report_at, 7)},
    {"ReportNotInTheEpc",
     [](EnclaveMachine& m) { m.map(output_linear, source_at, pte_p | pte_w | pte_u); },
     pf(report_at, user_write)},
    {"ReportNotWritable", [](EnclaveMachine& m) { m.entry(output_page).w = false; },
     pf(report_at, user_write)},
    // The order: each operand wholly before the next.
    {"TargetinfosPageBeforeReportdatasAlignment",
     [](EnclaveMachine& m) {
         m.entry(input_page).blocked = true;
         m.c.gpr[rcx] += 1;
         m.c.gpr[rdx] += 1;
     },
     pf(targetinfo_at, user_read)},
    {"ReportdatasPageBeforeReportsAlignment",
     [](EnclaveMachine& m) {
         m.entry(second_page).blocked = true;
         m.c.gpr[rdx] += 1;
     },
     pf(reportdata_at, user_read)},
    {"AlignmentBeforeThePage",
     [](EnclaveMachine& m) {
         m.c.gpr[rbx] += 1;
         m.entry(input_page).valid = false;
     },
     gp0},
};
INSTANTIATE_TEST_SUITE_P(Ereport, EreportViolation, testing::ValuesIn(violations),
                         [](const auto& test) { return std::string{test.param.name}; });

class EreportPage : public testing::TestWithParam<EpcmFlaw> {};

TEST_P(EreportPage, FaultsWhicheverOperandLiesThere) {
    struct Operand {
        u64 page;
        Fault fault;
    };
    const Operand operands[] = {{input_page, pf(targetinfo_at, user_read)},
                                {second_page, pf(reportdata_at, user_read)},
                                {output_page, pf(report_at, user_write)}};
    for (const Operand& operand : operands) {
        KeyMachine m;
        m.prepare_ereport(m.own_target());
        GetParam().arrange(m.entry(operand.page));
        expect_fault_only(m, operand.fault);
    }
}
INSTANTIATE_TEST_SUITE_P(Ereport, EreportPage, testing::ValuesIn(epcm_flaws),
                         [](const auto& test) { return std::string{test.param.name}; });

TEST(Ereport, AsksTheEpcmThoughATranslationIsCached) {
    KeyMachine m;
    m.prepare_ereport(m.own_target());
    u8 byte = 0;
    ASSERT_TRUE(load_bytes(m.c, Gva{targetinfo_at}, &byte, 1).ok());
    m.entry(input_page).blocked = true;
    ASSERT_TRUE(load_bytes(m.c, Gva{targetinfo_at}, &byte, 1).ok());  // stale, as it must be
    expect_fault_only(m, pf(targetinfo_at, user_read));
}

}  // namespace
}  // namespace postern::cpu::sgx
