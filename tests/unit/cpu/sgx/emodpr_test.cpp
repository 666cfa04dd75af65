// SPDX-License-Identifier: Apache-2.0
// ENCLS[EMODPR]: permissions before and after, every error code, and every check violated alone.
#include "unit/cpu/sgx/sgx2_machine.h"

namespace postern::cpu::sgx {
namespace {

constexpr u32 write_fault = sgx_fault(true, false);

void ready(Sgx2Machine& m) {
    m.put_secinfo(type_reg | 1);
    m.c.gpr[rax] = 0xe;
    m.c.gpr[rbx] = secinfo_at;
    m.c.gpr[rcx] = window_of(data_page);
}

void set_permissions(EpcmEntry& entry, unsigned xwr) {
    entry.r = (xwr & 1) != 0;
    entry.w = (xwr & 2) != 0;
    entry.x = (xwr & 4) != 0;
}

struct Restriction {
    unsigned before, asked, after;  // X, W, R
};

/// Every legal set of permissions with every set that may be asked for.
constexpr Restriction restrictions[] = {
    {0, 0, 0}, {0, 1, 0}, {0, 3, 0}, {0, 4, 0}, {0, 5, 0}, {0, 7, 0},  //
    {1, 0, 0}, {1, 1, 1}, {1, 3, 1}, {1, 4, 0}, {1, 5, 1}, {1, 7, 1},  //
    {3, 0, 0}, {3, 1, 1}, {3, 3, 3}, {3, 4, 0}, {3, 5, 1}, {3, 7, 3},  //
    {4, 0, 0}, {4, 1, 0}, {4, 3, 0}, {4, 4, 4}, {4, 5, 4}, {4, 7, 4},  //
    {5, 0, 0}, {5, 1, 1}, {5, 3, 1}, {5, 4, 4}, {5, 5, 5}, {5, 7, 5},  //
    {7, 0, 0}, {7, 1, 1}, {7, 3, 3}, {7, 4, 4}, {7, 5, 5}, {7, 7, 7},
};

TEST(Emodpr, LeavesOnlyThePermissionsThatArePermitted) {
    for (const Restriction& row : restrictions) {
        SCOPED_TRACE(testing::Message() << row.before << ' ' << row.asked);
        Sgx2Machine m;
        ready(m);
        m.put_secinfo(type_reg | row.asked);
        set_permissions(m.entry(data_page), row.before);
        m.epc.hidden(secs_page).tracking.epoch = 5;
        expect_report(m, encls, 0, [&](EnclaveMachine& e) {
            set_permissions(e.entry(data_page), row.after);
            e.entry(data_page).pr = true;
            e.entry(data_page).tracking_epoch = 5;
        });
    }
}

TEST(Emodpr, LooksAtNoOtherFlagOfSecinfo) {
    for (const u64 others : {u64{0}, flag_pending, flag_modified, flag_pr, type_tcs, u64{0xff00}}) {
        Sgx2Machine m;
        ready(m);
        m.put_secinfo(others | 1);
        ASSERT_TRUE(encls(m.c).ok());
        EXPECT_EQ(m.c.gpr[rax], 0u);
        EXPECT_EQ(m.entry(data_page).page_type, PageType::reg);
        EXPECT_TRUE(m.entry(data_page).r && !m.entry(data_page).w && m.entry(data_page).pr);
        EXPECT_FALSE(m.entry(data_page).pending || m.entry(data_page).modified);
    }
}

TEST(Emodpr, TakesABlockedPageAndOneThatWasRestrictedBefore) {
    Sgx2Machine m;
    ready(m);
    m.entry(data_page).blocked = m.entry(data_page).pr = true;
    ASSERT_TRUE(encls(m.c).ok());
    EXPECT_EQ(m.c.gpr[rax], 0u);
    EXPECT_TRUE(m.entry(data_page).blocked && m.entry(data_page).pr);
}

class EmodprBreach : public testing::TestWithParam<Breach> {};

TEST_P(EmodprBreach, FaultsAndChangesNothing) {
    Sgx2Machine m;
    ready(m);
    GetParam().arrange(m);
    expect_fault(m, encls, GetParam().fault);
}

constexpr Fault page_fault = pf(window_of(data_page), write_fault);

constexpr Breach breaches[] = {
    {"SecinfoNotAlignedTo64",
     [](Sgx2Machine& m) {
         m.at<std::array<u64, 8>>(secinfo_at + 0x60) = {0x201};
         m.c.gpr[rbx] = secinfo_at + 0x60;
     },
     gp0},
    {"PageNotAligned", [](Sgx2Machine& m) { m.c.gpr[rcx] += 0x800; }, gp0},
    {"PageNotMapped", [](Sgx2Machine& m) { m.c.gpr[rcx] = unmapped; }, pf(unmapped, 2)},
    {"PageNotInTheEpc", [](Sgx2Machine& m) { m.c.gpr[rcx] = source_at; },
     pf(source_at, write_fault)},
    {"SecinfoNotMapped", [](Sgx2Machine& m) { m.c.gpr[rbx] = unmapped; }, pf(unmapped, 0)},
    {"Flag6Reserved", [](Sgx2Machine& m) { m.put_secinfo(0x241); }, gp0},
    {"Flag7Reserved", [](Sgx2Machine& m) { m.put_secinfo(0x281); }, gp0},
    {"Flag16Reserved", [](Sgx2Machine& m) { m.put_secinfo(0x1'0201); }, gp0},
    {"Flag63Reserved", [](Sgx2Machine& m) { m.put_secinfo(u64{1} << 63 | 0x201); }, gp0},
    {"LastByteReserved", [](Sgx2Machine& m) { m.at<u8>(secinfo_at + 63) = 1; }, gp0},
    {"WritableButNotReadable", [](Sgx2Machine& m) { m.put_secinfo(0x202); }, gp0},
    {"WritableAndExecutableButNotReadable", [](Sgx2Machine& m) { m.put_secinfo(0x206); }, gp0},
    {"PageNotValid", [](Sgx2Machine& m) { m.entry(data_page).valid = false; }, page_fault},
    {"PageIsSecs", [](Sgx2Machine& m) { m.entry(data_page).page_type = PageType{0}; }, page_fault},
    {"PageIsTcs", [](Sgx2Machine& m) { m.entry(data_page).page_type = PageType{1}; }, page_fault},
    {"PageIsVa", [](Sgx2Machine& m) { m.entry(data_page).page_type = PageType{3}; }, page_fault},
    {"PageIsTrim", [](Sgx2Machine& m) { m.entry(data_page).page_type = PageType{4}; }, page_fault},
    {"EnclaveNotInitialised",
     [](Sgx2Machine& m) { m.secs().attributes.flags.set(SgxAttribute::init, false); }, gp0},
    {"WithoutSgx2", [](Sgx2Machine& m) { m.model.features.set(Feature::sgx2, false); }, gp0},
};

INSTANTIATE_TEST_SUITE_P(Emodpr, EmodprBreach, testing::ValuesIn(breaches), name_of_case);

class EmodprRefusal : public testing::TestWithParam<Refusal> {};

TEST_P(EmodprRefusal, IsReportedAndChangesNothing) {
    Sgx2Machine m;
    ready(m);
    GetParam().arrange(m);
    expect_error(m, encls, GetParam().status);
}

constexpr Refusal refusals[] = {
    {"PageInUseByAnother", [](Sgx2Machine& m) { m.always_conflict(14); }, 7},
    {"PagePending", [](Sgx2Machine& m) { m.entry(data_page).pending = true; }, 20},
    {"PageModified", [](Sgx2Machine& m) { m.entry(data_page).modified = true; }, 20},
    {"PageModifiedBeforeItsType",
     [](Sgx2Machine& m) {
         m.entry(data_page).modified = true;
         m.entry(data_page).page_type = PageType::tcs;
     },
     20},
    {"ConflictBeforePending",
     [](Sgx2Machine& m) {
         m.always_conflict(14);
         m.entry(data_page).pending = true;
     },
     7},
};

INSTANTIATE_TEST_SUITE_P(Emodpr, EmodprRefusal, testing::ValuesIn(refusals), name_of_case);

}  // namespace
}  // namespace postern::cpu::sgx
