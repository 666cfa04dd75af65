// SPDX-License-Identifier: Apache-2.0
// --choice NAME=VALUE.
#include <gtest/gtest.h>

#include "app/options.h"

namespace postern::app {
namespace {

TEST(Choice, SetsWhatItNamesAndLeavesTheRest) {
    const auto choices = parse_choices({"exitinfo-after-ept=stale"});
    ASSERT_TRUE(choices.has_value());
    EXPECT_TRUE(choices->exitinfo_after_ept_is_stale);
    EXPECT_FALSE(choices->vmx_instruction_in_enclave_is_ud);
}

TEST(Choice, TheLastOneOfANameCounts) {
    const auto choices =
        parse_choices({"vmx-instruction-in-enclave=ud", "vmx-instruction-in-enclave=exit"});
    ASSERT_TRUE(choices.has_value());
    EXPECT_FALSE(choices->vmx_instruction_in_enclave_is_ud);
}

TEST(Choice, ThatIsUnknownIsRefusedWithThoseThatAreKnown) {
    for (const char* const word : {"exitinfo-after-ept", "exitinfo-after-ept=ud", "x=stale"}) {
        const auto choices = parse_choices({word});
        ASSERT_FALSE(choices.has_value()) << word;
        EXPECT_NE(choices.error().right.find("exitinfo-after-ept=cleared|stale"),
                  std::string::npos);
    }
}

}  // namespace
}  // namespace postern::app
