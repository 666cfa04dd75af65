// SPDX-License-Identifier: Apache-2.0
// ENCLU[EMODPE]: permissions before and after, and every check violated alone.
#include "unit/cpu/sgx/own_secinfo.h"

namespace postern::cpu::sgx {
namespace {

constexpr u64 secinfo = own_secinfo_linear, target = 0x4000'5000;
constexpr u32 read_fault = sgx_fault(false, true);
constexpr Fault target_fault = pf(target, read_fault);

void ready(Sgx2Machine& m) {
    m.eaug();
    m.entry(new_page).pending = false;
    m.enter();
    m.put_own_secinfo(0x205);
    m.c.gpr[rax] = 6;
    m.c.gpr[rbx] = secinfo;
    m.c.gpr[rcx] = target;
}

void set_permissions(EpcmEntry& entry, unsigned xwr) {
    entry.r = (xwr & 1) != 0;
    entry.w = (xwr & 2) != 0;
    entry.x = (xwr & 4) != 0;
}

constexpr unsigned refused = 8;

struct Extension {
    unsigned before, asked, after;  // X, W, R
};

/// Every legal set of permissions with everything that can be asked for.
constexpr Extension extensions[] = {
    {0, 0, 0}, {0, 1, 1}, {0, 2, refused}, {0, 3, 3},
    {0, 4, 4}, {0, 5, 5}, {0, 6, refused}, {0, 7, 7},  //
    {1, 0, 1}, {1, 1, 1}, {1, 2, 3},       {1, 3, 3},
    {1, 4, 5}, {1, 5, 5}, {1, 6, 7},       {1, 7, 7},  //
    {3, 0, 3}, {3, 1, 3}, {3, 2, 3},       {3, 3, 3},
    {3, 4, 7}, {3, 5, 7}, {3, 6, 7},       {3, 7, 7},  //
    {4, 0, 4}, {4, 1, 5}, {4, 2, refused}, {4, 3, 7},
    {4, 4, 4}, {4, 5, 5}, {4, 6, refused}, {4, 7, 7},  //
    {5, 0, 5}, {5, 1, 5}, {5, 2, 7},       {5, 3, 7},
    {5, 4, 5}, {5, 5, 5}, {5, 6, 7},       {5, 7, 7},  //
    {7, 0, 7}, {7, 1, 7}, {7, 2, 7},       {7, 3, 7},
    {7, 4, 7}, {7, 5, 7}, {7, 6, 7},       {7, 7, 7},
};

TEST(Emodpe, AddsThePermissionsUnlessThatMakesAPageWritableAndNotReadable) {
    for (const Extension& row : extensions) {
        SCOPED_TRACE(testing::Message() << row.before << ' ' << row.asked);
        Sgx2Machine m;
        ready(m);
        set_permissions(m.entry(new_page), row.before);
        m.put_own_secinfo(type_reg | row.asked);
        if (row.after == refused) {
            expect_fault(m, enclu, gp0);
            continue;
        }
        expect_silent_success(
            m, enclu, [&](EnclaveMachine& e) { set_permissions(e.entry(new_page), row.after); });
    }
}

TEST(Emodpe, LooksAtNoOtherFlagOfSecinfoAndKeepsPr) {
    for (const u64 others : {u64{0}, type_tcs, u64{0xff00}, flag_pending, flag_modified, flag_pr}) {
        Sgx2Machine m;
        ready(m);
        m.entry(new_page).pr = true;
        m.put_own_secinfo(others | 4);
        expect_silent_success(m, enclu, [](EnclaveMachine& e) { e.entry(new_page).x = true; });
    }
}

TEST(Emodpe, MayBeUsedOnThePageOfSecinfoItself) {
    Sgx2Machine m;
    ready(m);
    m.c.gpr[rcx] = elrange + data_offset;
    expect_silent_success(m, enclu, [](EnclaveMachine& e) { e.entry(data_page).x = true; });
}

class EmodpeBreach : public testing::TestWithParam<Breach> {};

TEST_P(EmodpeBreach, FaultsAndChangesNothing) {
    Sgx2Machine m;
    ready(m);
    GetParam().arrange(m);
    expect_fault(m, enclu, GetParam().fault);
}

EpcmEntry& target_page(Sgx2Machine& m) { return m.entry(new_page); }

constexpr Breach breaches[] = {
    {"PageNotAligned", [](Sgx2Machine& m) { m.c.gpr[rcx] += 0x800; }, gp0},
    {"PageBelowElrange", [](Sgx2Machine& m) { m.c.gpr[rcx] = 0x3fff'f000; }, gp0},
    {"PageAboveElrange", [](Sgx2Machine& m) { m.c.gpr[rcx] = 0x4001'0000; }, gp0},
    {"PageNotMapped", [](Sgx2Machine& m) { m.c.gpr[rcx] = 0x4000'f000; }, pf(0x4000'f000, 4)},
    {"PageNotInTheEpc", [](Sgx2Machine& m) { m.map(target, source_at, pte_p | pte_w | pte_u); },
     target_fault},
    {"PageNotValid", [](Sgx2Machine& m) { target_page(m).valid = false; }, target_fault},
    {"PagePending", [](Sgx2Machine& m) { target_page(m).pending = true; }, target_fault},
    {"PageModified", [](Sgx2Machine& m) { target_page(m).modified = true; }, target_fault},
    {"PageBlocked", [](Sgx2Machine& m) { target_page(m).blocked = true; }, target_fault},
    {"PageIsTcs", [](Sgx2Machine& m) { target_page(m).page_type = PageType{1}; }, target_fault},
    {"PageIsVa", [](Sgx2Machine& m) { target_page(m).page_type = PageType{3}; }, target_fault},
    {"PageIsTrim", [](Sgx2Machine& m) { target_page(m).page_type = PageType{4}; }, target_fault},
    {"PageOfAnotherEnclave", [](Sgx2Machine& m) { target_page(m).enclave_secs = 9; }, target_fault},
    {"PageAtAnotherAddress", [](Sgx2Machine& m) { target_page(m).enclave_address = 0x4000'6000; },
     target_fault},
    {"PageInUseByAnother", [](Sgx2Machine& m) { m.always_conflict(32 + 6); }, gp0},
    {"WithoutSgx2", [](Sgx2Machine& m) { m.model.features.set(Feature::sgx2, false); }, gp0},
};

INSTANTIATE_TEST_SUITE_P(Secinfo, EmodpeBreach, testing::ValuesIn(secinfo_breaches<0x205>),
                         name_of_case);
INSTANTIATE_TEST_SUITE_P(Emodpe, EmodpeBreach, testing::ValuesIn(breaches), name_of_case);

}  // namespace
}  // namespace postern::cpu::sgx
