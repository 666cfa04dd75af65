// SPDX-License-Identifier: Apache-2.0
// K18, as its reader sees it: what is printed of the last refusal.
#include "app/sgx_options.h"

#include <gtest/gtest.h>

namespace postern::app {
namespace {

hv::SgxRefusal refusal(hv::SgxField field, u64 asked, u64 allowed) {
    hv::SgxRefusal made;
    made.verdict = {field, asked, allowed};
    made.rip = 0xffff'ffff'8100'0000;
    made.cr3 = 0x1000;
    made.number = 3;
    return made;
}

TEST(RefusalLines, NothingRefusedIsNothingSaid) { EXPECT_TRUE(refusal_lines({}).empty()); }

TEST(RefusalLines, SayWhichFieldWhatWasAskedAndWhatIsAllowed) {
    const auto lines = refusal_lines(refusal(hv::SgxField::provision_key, 0x14, 0xa6));
    ASSERT_EQ(lines.size(), 2u);
    EXPECT_EQ(lines[0],
              "refused 3 times; the last was ENCLS[ECREATE] at RIP 0xffffffff81000000, CR3 0x1000");
    EXPECT_EQ(lines[1],
              "  for the provisioning key: asked 0x14, allowed 0xa6 (--sgx-provision grants it)");
}

TEST(RefusalLines, EveryFieldHasAText) {
    for (unsigned n = 1; n <= static_cast<unsigned>(hv::SgxField::processor); ++n) {
        const auto lines = refusal_lines(refusal(static_cast<hv::SgxField>(n), 1, 2));
        ASSERT_EQ(lines.size(), 2u);
        EXPECT_EQ(lines[1].find("for :"), std::string::npos) << n;
    }
}

}  // namespace
}  // namespace postern::app
