// SPDX-License-Identifier: Apache-2.0
// ENCLS[EREMOVE].
#include <gtest/gtest.h>

#include "cpu/flags.h"
#include "unit/cpu/sgx/enclave_machine.h"

namespace postern::cpu::sgx {
namespace {

SgxError eremove(EnclaveMachine& m, u64 page) {
    set_rflags(m.c, rflags(m.c) | rflags_status_mask);
    EXPECT_TRUE(m.encls(EnclsLeaf::eremove, 0, window_of(page)).ok());
    const auto status = static_cast<SgxError>(m.c.gpr[rax]);
    EXPECT_EQ(rflags(m.c) & rflags_status_mask,
              status == SgxError::success ? 0 : Rflags{Rflag::zf}.to_raw());
    return status;
}

TEST(Eremove, OfASecsWithChildrenReturnsChildPresentUntilTheLastOneIsGone) {
    EnclaveMachine m;
    m.build();
    EXPECT_EQ(eremove(m, secs_page), SgxError::child_present);
    EXPECT_TRUE(m.entry(secs_page).valid);
    for (u64 page = tcs_page; page <= data_page; ++page) {
        EXPECT_EQ(eremove(m, secs_page), SgxError::child_present);
        EXPECT_EQ(eremove(m, page), SgxError::success);
        EXPECT_FALSE(m.entry(page).valid);
    }
    EXPECT_EQ(eremove(m, secs_page), SgxError::success);
    EXPECT_FALSE(m.entry(secs_page).valid);
}

TEST(Eremove, LeavesTheContent) {
    EnclaveMachine m;
    m.build();
    const u8 before = m.epc.page(data_page)[100];
    EXPECT_EQ(eremove(m, data_page), SgxError::success);
    EXPECT_EQ(m.epc.page(data_page)[100], before);
}

TEST(Eremove, OfAFreePageSucceedsAndDoesNothing) {
    EnclaveMachine m;
    m.build();
    const u64 children = m.epc.hidden(secs_page).children;
    m.entry(9).page_type = PageType::reg;  // what its earlier life left
    m.entry(9).enclave_secs = secs_page;
    EXPECT_EQ(eremove(m, 9), SgxError::success);
    EXPECT_EQ(m.epc.hidden(secs_page).children, children);
}

TEST(Eremove, WhileAThreadIsInsideReturnsEnclaveAct) {
    EnclaveMachine m;
    m.build();
    m.epc.hidden(secs_page).active_threads = 1;
    EXPECT_EQ(eremove(m, data_page), SgxError::enclave_act);
    EXPECT_TRUE(m.entry(data_page).valid);
}

TEST(Eremove, OfAVersionArrayConcernsNoEnclave) {
    EnclaveMachine m;
    m.build();
    const u64 children = m.epc.hidden(secs_page).children;
    m.epc.hidden(secs_page).active_threads = 1;
    m.entry(9).valid = true;
    m.entry(9).page_type = PageType::va;
    m.entry(9).enclave_secs = secs_page;
    EXPECT_EQ(eremove(m, 9), SgxError::success);
    EXPECT_FALSE(m.entry(9).valid);
    EXPECT_EQ(m.epc.hidden(secs_page).children, children);
}

TEST(Eremove, OfATrimmedPageDoesNotAskForThreads) {
    EnclaveMachine m;
    m.build();
    m.epc.hidden(secs_page).active_threads = 1;
    m.entry(data_page).page_type = PageType::trim;
    m.entry(data_page).modified = true;
    EXPECT_EQ(eremove(m, data_page), SgxError::enclave_act);
    m.entry(data_page).modified = false;
    EXPECT_EQ(eremove(m, data_page), SgxError::success);
    EXPECT_FALSE(m.entry(data_page).valid);
}

TEST(Eremove, FreesAPageForTheNextEnclave) {
    EnclaveMachine m;
    m.build();
    EXPECT_EQ(eremove(m, data_page), SgxError::success);
    m.prepare_eadd(data_offset, 0x203);
    EXPECT_TRUE(m.eadd(data_page).ok());
}

TEST(Eremove, FaultsOnAMisalignedPageAndOutsideTheEpc) {
    EnclaveMachine m;
    m.build();
    EXPECT_FALSE(m.encls(EnclsLeaf::eremove, 0, window_of(data_page) + 8).ok());
    EXPECT_EQ(pending_fault(m.c), gp0);
    EXPECT_FALSE(m.encls(EnclsLeaf::eremove, 0, source_at).ok());
    EXPECT_EQ(pending_fault(m.c), pf(source_at, sgx_fault(true, false)));
}

TEST(Eremove, RequestedConflictIsAGeneralProtectionFaultEvenOfAFreePage) {
    for (const u64 page : {data_page, u64{9}}) {
        EnclaveMachine m;
        m.build();
        m.epc.conflicts.rate[3] = Conflicts::always;
        const State before{m};
        EXPECT_FALSE(m.encls(EnclsLeaf::eremove, 0, window_of(page)).ok());
        EXPECT_EQ(pending_fault(m.c), gp0);
        EXPECT_TRUE(State{m}.entries == before.entries);
    }
}

}  // namespace
}  // namespace postern::cpu::sgx
