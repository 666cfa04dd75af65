// SPDX-License-Identifier: Apache-2.0
// ENCLU[EACCEPTCOPY]: content and permissions, every error code, and every check violated alone.
#include "unit/cpu/sgx/own_secinfo.h"

namespace postern::cpu::sgx {
namespace {

constexpr u64 secinfo = own_secinfo_linear, target = 0x4000'5000, source = 0x4000'1000;
constexpr u32 read_fault = sgx_fault(false, true), write_fault = sgx_fault(true, true);
constexpr Fault source_fault = pf(source, read_fault);

/// Inside, the code page about to be copied into a page added by EAUG.
void ready(Sgx2Machine& m) {
    m.eaug();
    m.enter();
    m.put_own_secinfo(0x205);
    m.c.gpr[rax] = 7;
    m.c.gpr[rbx] = secinfo;
    m.c.gpr[rcx] = target;
    m.c.gpr[rdx] = source;
}

TEST(Eacceptcopy, CopiesThePageAndGivesItThePermissions) {
    for (const u64 permissions : {0u, 1u, 3u, 4u, 5u, 7u}) {
        SCOPED_TRACE(permissions);
        Sgx2Machine m;
        ready(m);
        m.put_own_secinfo(type_reg | permissions);
        expect_report(m, enclu, 0, [&](EnclaveMachine& e) {
            // What the machine's build() has in its second page of ELRANGE.
            for (u64 n = 0; n < page_size; ++n)
                e.epc.page(new_page)[n] = static_cast<u8>(n * 7 + 1);
            EpcmEntry& entry = e.entry(new_page);
            entry.r = (permissions & 1) != 0;
            entry.w = (permissions & 2) != 0;
            entry.x = (permissions & 4) != 0;
            entry.pending = false;
        });
    }
}

TEST(Eacceptcopy, LooksAtNoOtherFlagOfSecinfo) {
    for (const u64 others : {flag_pending, flag_modified, flag_pr}) {
        Sgx2Machine m;
        ready(m);
        m.put_own_secinfo(0x205 | others);
        ASSERT_TRUE(enclu(m.c).ok());
        EXPECT_EQ(m.c.gpr[rax], 0u);
        const EpcmEntry& entry = m.entry(new_page);
        EXPECT_FALSE(entry.pending || entry.modified || entry.pr);
    }
}

TEST(Eacceptcopy, DropsCodeThatWasCachedFromThePage) {
    Sgx2Machine m;
    ready(m);
    Block block{};
    block.host = m.epc.page(new_page) + 0x20;
    m.c.blocks->insert(m.c, &block);
    ASSERT_TRUE(enclu(m.c).ok());
    EXPECT_FALSE(m.c.blocks->has_code(block.host));
}

class EacceptcopyBreach : public testing::TestWithParam<Breach> {};

TEST_P(EacceptcopyBreach, FaultsAndChangesNothing) {
    Sgx2Machine m;
    ready(m);
    GetParam().arrange(m);
    expect_fault(m, enclu, GetParam().fault);
}

EpcmEntry& source_page(Sgx2Machine& m) { return m.entry(code_page); }
EpcmEntry& target_page(Sgx2Machine& m) { return m.entry(new_page); }

constexpr Breach breaches[] = {
    {"WritableButNotReadable", [](Sgx2Machine& m) { m.put_own_secinfo(0x202); }, gp0},
    {"SecinfoSaysTcs", [](Sgx2Machine& m) { m.put_own_secinfo(0x105); }, gp0},
    {"SecinfoSaysTrim", [](Sgx2Machine& m) { m.put_own_secinfo(0x405); }, gp0},
    {"TargetNotAligned", [](Sgx2Machine& m) { m.c.gpr[rcx] += 0x800; }, gp0},
    {"TargetBelowElrange", [](Sgx2Machine& m) { m.c.gpr[rcx] = 0x3fff'f000; }, gp0},
    {"TargetAboveElrange", [](Sgx2Machine& m) { m.c.gpr[rcx] = 0x4001'0000; }, gp0},
    {"TargetNotMapped", [](Sgx2Machine& m) { m.c.gpr[rcx] = 0x4000'f000; }, pf(0x4000'f000, 6)},
    {"TargetNotWritableByPaging",
     [](Sgx2Machine& m) { m.map(target, 0x1'4000'7000, pte_p | pte_u); }, pf(target, 7)},
    {"TargetNotInTheEpc", [](Sgx2Machine& m) { m.map(target, source_at, pte_p | pte_w | pte_u); },
     pf(target, write_fault)},
    {"SourceNotAligned", [](Sgx2Machine& m) { m.c.gpr[rdx] += 0x800; }, gp0},
    {"SourceOutsideElrange", [](Sgx2Machine& m) { m.c.gpr[rdx] = source_at; }, gp0},
    {"SourceNotMapped", [](Sgx2Machine& m) { m.c.gpr[rdx] = 0x4000'f000; }, pf(0x4000'f000, 4)},
    {"SourceNotInTheEpc", [](Sgx2Machine& m) { m.map(source, source_at, pte_p | pte_w | pte_u); },
     source_fault},
    {"SourceNotValid", [](Sgx2Machine& m) { source_page(m).valid = false; }, source_fault},
    {"SourceNotReadable", [](Sgx2Machine& m) { source_page(m).r = false; }, source_fault},
    {"SourcePending", [](Sgx2Machine& m) { source_page(m).pending = true; }, source_fault},
    {"SourceModified", [](Sgx2Machine& m) { source_page(m).modified = true; }, source_fault},
    {"SourceBlocked", [](Sgx2Machine& m) { source_page(m).blocked = true; }, source_fault},
    {"SourceATcs", [](Sgx2Machine& m) { source_page(m).page_type = PageType::tcs; }, source_fault},
    {"SourceOfAnotherEnclave", [](Sgx2Machine& m) { source_page(m).enclave_secs = 9; },
     source_fault},
    {"SourceAtAnotherAddress", [](Sgx2Machine& m) { source_page(m).enclave_address = 0x4000'6000; },
     source_fault},
    {"SourceIsTheTarget", [](Sgx2Machine& m) { m.c.gpr[rdx] = target; }, pf(target, read_fault)},
    {"WithoutSgx2", [](Sgx2Machine& m) { m.model.features.set(Feature::sgx2, false); }, gp0},
};

INSTANTIATE_TEST_SUITE_P(Secinfo, EacceptcopyBreach, testing::ValuesIn(secinfo_breaches<0x205>),
                         name_of_case);
INSTANTIATE_TEST_SUITE_P(Eacceptcopy, EacceptcopyBreach, testing::ValuesIn(breaches), name_of_case);

class EacceptcopyRefusal : public testing::TestWithParam<Refusal> {};

TEST_P(EacceptcopyRefusal, IsReportedAndChangesNothing) {
    Sgx2Machine m;
    ready(m);
    GetParam().arrange(m);
    expect_error(m, enclu, GetParam().status);
}

constexpr Refusal refusals[] = {
    {"TargetNotValid", [](Sgx2Machine& m) { target_page(m).valid = false; }, 19},
    {"TargetNotPending", [](Sgx2Machine& m) { target_page(m).pending = false; }, 19},
    {"TargetModified", [](Sgx2Machine& m) { target_page(m).modified = true; }, 19},
    {"TargetBlocked", [](Sgx2Machine& m) { target_page(m).blocked = true; }, 19},
    {"TargetATcs", [](Sgx2Machine& m) { target_page(m).page_type = PageType::tcs; }, 19},
    {"TargetTrimmed", [](Sgx2Machine& m) { target_page(m).page_type = PageType::trim; }, 19},
    {"TargetOfAnotherEnclave", [](Sgx2Machine& m) { target_page(m).enclave_secs = 9; }, 19},
    {"TargetAtAnotherAddress",
     [](Sgx2Machine& m) {
         m.map(0x4000'6000, 0x1'4000'7000, pte_p | pte_w | pte_u);
         m.c.gpr[rcx] = 0x4000'6000;
     },
     19},
    {"TargetNotReadable", [](Sgx2Machine& m) { target_page(m).r = false; }, 19},
    {"TargetNotWritable", [](Sgx2Machine& m) { target_page(m).w = false; }, 19},
    {"TargetExecutable", [](Sgx2Machine& m) { target_page(m).x = true; }, 19},
    {"TargetInUseByAnother", [](Sgx2Machine& m) { m.always_conflict(32 + 7); }, 7},
    {"NotPendingBeforeConflict",
     [](Sgx2Machine& m) {
         m.always_conflict(32 + 7);
         target_page(m).pending = false;
     },
     19},
    {"ConflictBeforePermissions",
     [](Sgx2Machine& m) {
         m.always_conflict(32 + 7);
         target_page(m).x = true;
     },
     7},
};

INSTANTIATE_TEST_SUITE_P(Eacceptcopy, EacceptcopyRefusal, testing::ValuesIn(refusals),
                         name_of_case);

}  // namespace
}  // namespace postern::cpu::sgx
