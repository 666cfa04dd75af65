// SPDX-License-Identifier: Apache-2.0
// Numbers, sizes, and the line of an error.
#include "app/text.h"

#include <gtest/gtest.h>

namespace postern::app {
namespace {

TEST(Numbers, DecimalAndHexadecimalWithSeparators) {
    EXPECT_EQ(parse_number("0"), 0u);
    EXPECT_EQ(parse_number("18446744073709551615"), ~u64{0});
    EXPECT_EQ(parse_number("0x08000031"), 0x0800'0031u);
    EXPECT_EQ(parse_number("0xFFFFffffFFFFffff"), ~u64{0});
    EXPECT_EQ(parse_number("0x0800'0031"), 0x0800'0031u);
    EXPECT_EQ(parse_number("1_000"), 1000u);
}

TEST(Numbers, AnythingElseIsNone) {
    for (const char* text : {"", "0x", "-1", "+1", " 1", "1 ", "12a", "0x1g", "1__0", "_1", "1_",
                             "18446744073709551616", "0x10000000000000000", "1.5", "1e3"})
        EXPECT_EQ(parse_number(text), std::nullopt) << text;
}

TEST(Sizes, SuffixesArePowersOf1024) {
    EXPECT_EQ(*parse_size("4096", "--memory"), 4096u);
    EXPECT_EQ(*parse_size("64K", "--memory"), 65536u);
    EXPECT_EQ(*parse_size("64M", "--memory"), 67108864u);
    EXPECT_EQ(*parse_size("1G", "--memory"), 1073741824u);
    EXPECT_EQ(*parse_size("1g", "--memory"), 1073741824u);
    EXPECT_EQ(*parse_size("0", "--epc"), 0u);
}

TEST(Sizes, OtherTextIsRefusedWithTheOptionsName) {
    for (const char* text : {"", "M", "1T", "1GB", "1 G", "-1", "0x1000", "1.5G", "G1",
                             "17179869184G", "99999999999999999999"}) {
        const auto size = parse_size(text, "--memory");
        ASSERT_FALSE(size.has_value()) << text;
        EXPECT_EQ(size.error().where, "--memory");
        EXPECT_EQ(size.error().what, std::string{"\""} + text + "\" is not a size");
    }
}

TEST(ErrorLine, HasThreePartsAndNoNewline) {
    EXPECT_EQ(line_of({"no such file", "a\nb", "a file"}), "postern: no such file: a b: a file");
}

TEST(Listed, WordsAreJoinedAsInASentence) {
    EXPECT_EQ(listed({"a"}), "a");
    EXPECT_EQ(listed({"a", "b"}), "a or b");
    EXPECT_EQ(listed({"a", "b", "c"}), "a, b or c");
}

}  // namespace
}  // namespace postern::app
