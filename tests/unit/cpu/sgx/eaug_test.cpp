// SPDX-License-Identifier: Apache-2.0
// ENCLS[EAUG]: the page it makes, and every check violated alone.
#include "unit/cpu/sgx/sgx2_machine.h"

namespace postern::cpu::sgx {
namespace {

constexpr u32 write_fault = sgx_fault(true, false);

void ready(Sgx2Machine& m) {
    m.at<Pageinfo>(pageinfo_at) = {elrange + new_offset, 0, 0, window_of(secs_page)};
    m.c.gpr[rax] = 0xd;
    m.c.gpr[rbx] = pageinfo_at;
    m.c.gpr[rcx] = window_of(new_page);
}

Pageinfo& info(Sgx2Machine& m) { return m.at<Pageinfo>(pageinfo_at); }

/// A regular page that may be read and written once it is accepted.
EpcmEntry added_page(u64 linear) {
    EpcmEntry entry{};
    entry.enclave_address = linear;
    entry.enclave_secs = 6;
    entry.page_type = PageType{2};
    entry.valid = entry.r = entry.w = entry.pending = true;
    return entry;
}

TEST(Eaug, MakesAPageOfZerosThatWaitsToBeAccepted) {
    Sgx2Machine m;
    ready(m);
    std::memset(m.epc.page(new_page), 0xa5, page_size);
    m.entry(new_page).enclave_address = ~u64{0};  // of an earlier life
    m.entry(new_page).tracking_epoch = 77;
    m.entry(new_page).x = m.entry(new_page).blocked = m.entry(new_page).modified =
        m.entry(new_page).pr = true;
    EXPECT_EQ(m.epc.hidden(secs_page).children, 5u);
    expect_silent_success(m, encls, [](EnclaveMachine& e) {
        std::memset(e.epc.page(new_page), 0, page_size);
        e.epc.hidden(secs_page).children = 6;
        e.entry(new_page) = added_page(elrange + new_offset);
    });
}

TEST(Eaug, TakesTheLastPageOfElrange) {
    Sgx2Machine m;
    ready(m);
    info(m).linaddr = 0x4000'f000;
    ASSERT_TRUE(encls(m.c).ok());
    EXPECT_EQ(m.entry(new_page).enclave_address, 0x4000'f000u);
}

TEST(Eaug, DropsCodeThatWasCachedFromThePagesEarlierLife) {
    Sgx2Machine m;
    ready(m);
    Block block{};
    block.host = m.epc.page(new_page) + 0x20;
    m.c.blocks->insert(m.c, &block);
    ASSERT_TRUE(encls(m.c).ok());
    EXPECT_FALSE(m.c.blocks->has_code(block.host));
}

TEST(Eaug, DoesNotMeasureThePage) {
    Sgx2Machine m;
    ready(m);
    const u64 blocks = m.epc.hidden(secs_page).measurement.blocks;
    ASSERT_TRUE(encls(m.c).ok());
    EXPECT_EQ(m.epc.hidden(secs_page).measurement.blocks, blocks);
}

class EaugBreach : public testing::TestWithParam<Breach> {};

TEST_P(EaugBreach, FaultsAndChangesNothing) {
    Sgx2Machine m;
    ready(m);
    GetParam().arrange(m);
    expect_fault(m, encls, GetParam().fault);
}

constexpr Breach breaches[] = {
    {"PageinfoNotAlignedTo32",
     [](Sgx2Machine& m) {
         m.at<std::array<u64, 4>>(pageinfo_at + 0x90) = {elrange + new_offset, 0, 0,
                                                         window_of(secs_page)};
         m.c.gpr[rbx] = pageinfo_at + 0x90;
     },
     gp0},
    {"PageNotAligned", [](Sgx2Machine& m) { m.c.gpr[rcx] += 0x800; }, gp0},
    {"PageNotMapped", [](Sgx2Machine& m) { m.c.gpr[rcx] = unmapped; }, pf(unmapped, 2)},
    {"PageNotInTheEpc", [](Sgx2Machine& m) { m.c.gpr[rcx] = source_at; },
     pf(source_at, write_fault)},
    {"PageinfoNotMapped", [](Sgx2Machine& m) { m.c.gpr[rbx] = unmapped; }, pf(unmapped, 0)},
    {"SecsNotAligned", [](Sgx2Machine& m) { info(m).secs += 0x800; }, gp0},
    {"LinearAddressNotAligned", [](Sgx2Machine& m) { info(m).linaddr += 0x800; }, gp0},
    {"SourcePage", [](Sgx2Machine& m) { info(m).srcpge = source_at; }, gp0},
    {"SecinfoWithoutCet",
     [](Sgx2Machine& m) {
         m.put_secinfo(0x503);
         info(m).secinfo = secinfo_at;
     },
     gp0},
    {"SecsNotMapped", [](Sgx2Machine& m) { info(m).secs = unmapped; }, pf(unmapped, 2)},
    {"SecsNotInTheEpc", [](Sgx2Machine& m) { info(m).secs = source_at; },
     pf(source_at, write_fault)},
    {"PageInUseByAnother", [](Sgx2Machine& m) { m.always_conflict(13); }, gp0},
    {"PageValidAlready", [](Sgx2Machine& m) { m.entry(new_page).valid = true; },
     pf(window_of(new_page), write_fault)},
    {"SecsNotValid", [](Sgx2Machine& m) { m.entry(secs_page).valid = false; },
     pf(window_of(secs_page), write_fault)},
    {"SecsOfAnotherType", [](Sgx2Machine& m) { info(m).secs = window_of(data_page); },
     pf(window_of(data_page), write_fault)},
    {"EnclaveNotInitialised",
     [](Sgx2Machine& m) { m.secs().attributes.flags.set(SgxAttribute::init, false); }, gp0},
    {"AddressBelowElrange", [](Sgx2Machine& m) { info(m).linaddr = 0x3fff'f000; }, gp0},
    {"AddressAboveElrange", [](Sgx2Machine& m) { info(m).linaddr = 0x4001'0000; }, gp0},
    {"WithoutSgx2", [](Sgx2Machine& m) { m.model.features.set(Feature::sgx2, false); }, gp0},
};

INSTANTIATE_TEST_SUITE_P(Eaug, EaugBreach, testing::ValuesIn(breaches), name_of_case);

}  // namespace
}  // namespace postern::cpu::sgx
