// SPDX-License-Identifier: Apache-2.0
// ENCLS[EMODT]: every change of type, every error code, and every check violated alone.
#include "unit/cpu/sgx/sgx2_machine.h"

namespace postern::cpu::sgx {
namespace {

constexpr u32 write_fault = sgx_fault(true, false);

void ready(Sgx2Machine& m) {
    m.put_secinfo(type_trim);
    m.c.gpr[rax] = 0xf;
    m.c.gpr[rbx] = secinfo_at;
    m.c.gpr[rcx] = window_of(data_page);
}

constexpr unsigned tcs = 1, reg = 2, trim = 4;

/// What becomes of a page of type `from` when `to` is asked for.
struct Change {
    unsigned from, to;
    bool allowed;
};
constexpr Change changes[] = {
    {0, tcs, false},    {0, trim, false},     // SECS
    {tcs, tcs, false},  {tcs, trim, true},    //
    {reg, tcs, true},   {reg, trim, true},    //
    {3, tcs, false},    {3, trim, false},     // VA
    {trim, tcs, false}, {trim, trim, false},  //
    {5, tcs, false},    {5, trim, false},     // shadow stacks, without CET
    {6, tcs, false},    {6, trim, false},
};

TEST(Emodt, ChangesTheTypesThatItMay) {
    for (const Change& change : changes) {
        SCOPED_TRACE(testing::Message() << change.from << " to " << change.to);
        Sgx2Machine m;
        ready(m);
        m.put_secinfo(u64{change.to} << 8);
        m.entry(data_page).page_type = PageType{static_cast<u8>(change.from)};
        m.entry(data_page).x = m.entry(data_page).pr = m.entry(data_page).blocked = true;
        m.epc.hidden(secs_page).tracking.epoch = 9;
        if (!change.allowed) {
            expect_fault(m, encls, pf(window_of(data_page), write_fault));
            continue;
        }
        expect_report(m, encls, 0, [&](EnclaveMachine& e) {
            EpcmEntry& entry = e.entry(data_page);
            entry.page_type = PageType{static_cast<u8>(change.to)};
            entry.r = entry.w = entry.x = entry.pr = false;
            entry.modified = true;
            entry.tracking_epoch = 9;
        });
    }
}

TEST(Emodt, LooksAtNoOtherFlagOfSecinfo) {
    for (const u64 others : {u64{7}, u64{2}, flag_pending, flag_modified, flag_pr}) {
        Sgx2Machine m;
        ready(m);
        m.put_secinfo(type_tcs | others);
        ASSERT_TRUE(encls(m.c).ok());
        EXPECT_EQ(m.c.gpr[rax], 0u);
        const EpcmEntry& entry = m.entry(data_page);
        EXPECT_EQ(entry.page_type, PageType::tcs);
        EXPECT_TRUE(entry.modified);
        EXPECT_FALSE(entry.r || entry.w || entry.x || entry.pending || entry.pr);
    }
}

class EmodtBreach : public testing::TestWithParam<Breach> {};

TEST_P(EmodtBreach, FaultsAndChangesNothing) {
    Sgx2Machine m;
    ready(m);
    GetParam().arrange(m);
    expect_fault(m, encls, GetParam().fault);
}

constexpr Fault page_fault = pf(window_of(data_page), write_fault);

constexpr Breach breaches[] = {
    {"SecinfoNotAlignedTo64",
     [](Sgx2Machine& m) {
         m.at<std::array<u64, 8>>(secinfo_at + 0x60) = {0x400};
         m.c.gpr[rbx] = secinfo_at + 0x60;
     },
     gp0},
    {"PageNotAligned", [](Sgx2Machine& m) { m.c.gpr[rcx] += 0x800; }, gp0},
    {"PageNotMapped", [](Sgx2Machine& m) { m.c.gpr[rcx] = unmapped; }, pf(unmapped, 2)},
    {"PageNotInTheEpc", [](Sgx2Machine& m) { m.c.gpr[rcx] = source_at; },
     pf(source_at, write_fault)},
    {"SecinfoNotMapped", [](Sgx2Machine& m) { m.c.gpr[rbx] = unmapped; }, pf(unmapped, 0)},
    {"Flag6Reserved", [](Sgx2Machine& m) { m.put_secinfo(0x440); }, gp0},
    {"Flag7Reserved", [](Sgx2Machine& m) { m.put_secinfo(0x480); }, gp0},
    {"Flag16Reserved", [](Sgx2Machine& m) { m.put_secinfo(0x1'0400); }, gp0},
    {"LastByteReserved", [](Sgx2Machine& m) { m.at<u8>(secinfo_at + 63) = 1; }, gp0},
    {"ToSecs", [](Sgx2Machine& m) { m.put_secinfo(0x000); }, gp0},
    {"ToReg", [](Sgx2Machine& m) { m.put_secinfo(0x200); }, gp0},
    {"ToVa", [](Sgx2Machine& m) { m.put_secinfo(0x300); }, gp0},
    {"ToTheFirstOfAShadowStack", [](Sgx2Machine& m) { m.put_secinfo(0x500); }, gp0},
    {"ToTheRestOfAShadowStack", [](Sgx2Machine& m) { m.put_secinfo(0x600); }, gp0},
    {"ToAnUnknownType", [](Sgx2Machine& m) { m.put_secinfo(0x8100); }, gp0},
    {"PageNotValid", [](Sgx2Machine& m) { m.entry(data_page).valid = false; }, page_fault},
    {"TypeBeforePending",
     [](Sgx2Machine& m) {
         m.entry(data_page).pending = true;
         m.entry(data_page).page_type = PageType::va;
     },
     page_fault},
    {"EnclaveNotInitialised",
     [](Sgx2Machine& m) { m.secs().attributes.flags.set(SgxAttribute::init, false); }, gp0},
    {"WithoutSgx2", [](Sgx2Machine& m) { m.model.features.set(Feature::sgx2, false); }, gp0},
};

INSTANTIATE_TEST_SUITE_P(Emodt, EmodtBreach, testing::ValuesIn(breaches), name_of_case);

class EmodtRefusal : public testing::TestWithParam<Refusal> {};

TEST_P(EmodtRefusal, IsReportedAndChangesNothing) {
    Sgx2Machine m;
    ready(m);
    GetParam().arrange(m);
    expect_error(m, encls, GetParam().status);
}

constexpr Refusal refusals[] = {
    {"PageInUseByAnother", [](Sgx2Machine& m) { m.always_conflict(15); }, 7},
    {"ConflictBeforeTheType",
     [](Sgx2Machine& m) {
         m.always_conflict(15);
         m.entry(data_page).page_type = PageType::va;
     },
     7},
    {"PagePending", [](Sgx2Machine& m) { m.entry(data_page).pending = true; }, 20},
    {"PageModified", [](Sgx2Machine& m) { m.entry(data_page).modified = true; }, 20},
    {"TcsModified",
     [](Sgx2Machine& m) {
         m.entry(data_page).page_type = PageType::tcs;
         m.entry(data_page).modified = true;
     },
     20},
};

INSTANTIATE_TEST_SUITE_P(Emodt, EmodtRefusal, testing::ValuesIn(refusals), name_of_case);

}  // namespace
}  // namespace postern::cpu::sgx
