// SPDX-License-Identifier: Apache-2.0
// ENCLS[ELDB] and ENCLS[ELDU].
#include <gtest/gtest.h>

#include <string>

#include "unit/cpu/sgx/paging_machine.h"

namespace postern::cpu::sgx {
namespace {

TEST(Eldu, BringsARegularPageBackToAnotherPlace) {
    PagingMachine m;
    m.build();
    m.add_version_array();
    const auto content = m.content(data_page);
    m.evict(data_page);
    EXPECT_EQ(m.epc.hidden(secs_page).children, 4u);
    ASSERT_EQ(m.eldu(free_page, elrange + data_offset), success);
    EXPECT_EQ(m.content(free_page), content);
    const EpcmEntry& entry = m.entry(free_page);
    EXPECT_TRUE(entry.valid && entry.r && entry.w && !entry.x);
    EXPECT_EQ(entry.page_type, PageType::reg);
    EXPECT_EQ(entry.enclave_address, elrange + data_offset);
    EXPECT_EQ(entry.enclave_secs, secs_page);
    EXPECT_FALSE(entry.blocked || entry.pending || entry.modified || entry.pr);
    EXPECT_EQ(m.epc.hidden(secs_page).children, 5u);
    EXPECT_EQ(m.slot(0), 0u);
}

}  // namespace
}  // namespace postern::cpu::sgx
