// SPDX-License-Identifier: Apache-2.0
// --sgx-conflict, read; and what is wrong with it, said in one line.
#include "app/conflict_option.h"

#include <gtest/gtest.h>

#include "app/text.h"

namespace postern::app {
namespace {

using cpu::sgx::ConflictRequest;

std::string wrong(const std::vector<std::string>& words) {
    const auto parsed = parse_conflicts(words);
    return parsed ? "nothing" : line_of(parsed.error());
}

/// "row rate seed; ..."
std::string read(const std::vector<std::string>& words) {
    const auto parsed = parse_conflicts(words);
    if (!parsed) return line_of(parsed.error());
    std::string text;
    for (const ConflictRequest& request : *parsed)
        text += std::to_string(request.row) + " " + std::to_string(request.rate) + " " +
                std::to_string(request.seed) + ";";
    return text;
}

TEST(ConflictOption, NamesLeavesOfEnclsAndEnclu) {
    EXPECT_EQ(read({}), "");
    EXPECT_EQ(read({"einit=0.5"}), "2 2147483648 0;");
    EXPECT_EQ(read({"ewb+eldu=1"}), "11 4294967296 0;8 4294967296 0;");
    EXPECT_EQ(read({"eaccept=0.25,7"}), "37 1073741824 7;");
    EXPECT_EQ(read({"emodt=0", "eacceptcopy=1.0,0xff"}), "15 0 0;39 4294967296 255;");
}

TEST(ConflictOption, ARateIsReadExactlyAndRoundedUp) {
    EXPECT_EQ(read({"ewb=0.1"}), "11 429496730 0;");
    EXPECT_EQ(read({"ewb=0.000000001"}), "11 5 0;");
    EXPECT_EQ(read({"ewb=0.999999999"}), "11 4294967292 0;");
    EXPECT_EQ(read({"ewb=1.000000000"}), "11 4294967296 0;");
}

TEST(ConflictOption, AnUnknownLeafGetsTheListOfThose) {
    constexpr const char* all =
        "ecreate, eadd, einit, eremove, edbgrd, edbgwr, eextend, eldb, eldu, eblock, epa, ewb, "
        "etrack, eaug, emodpr, emodt, eenter, eresume, eaccept, emodpe, eacceptcopy or edeccssa";
    const std::string where = std::string{": --sgx-conflict: "} + all;
    EXPECT_EQ(wrong({"eint=0.5"}), "postern: unknown leaf \"eint\"" + where);
    EXPECT_EQ(wrong({"EINIT=0.5"}), "postern: unknown leaf \"EINIT\"" + where);
    EXPECT_EQ(wrong({"=0.5"}), "postern: unknown leaf \"\"" + where);
    EXPECT_EQ(wrong({"einit+=0.5"}), "postern: unknown leaf \"\"" + where);
    EXPECT_EQ(wrong({"unknown=0.5"}), "postern: unknown leaf \"unknown\"" + where);
    EXPECT_EQ(wrong({"egetkey=0.5"}),
              "postern: egetkey never answers that there is a conflict" + where);
    for (const char* const leaf : {"ereport", "eexit", "erdinfo", "eldbc"})
        EXPECT_EQ(
            wrong({std::string{leaf} + "=1"}),
            "postern: " + std::string{leaf} + " never answers that there is a conflict" + where);
}

TEST(ConflictOption, ARateIsADecimalFromZeroToOne) {
    for (const char* const rate : {"", "2", "1.1", "1.000000001", "0.", ".5", "0.5.5", "-0.5",
                                   "50%", "0.0000000001", "1e-3", "00.5", "0.5x"}) {
        const std::string text = rate;
        EXPECT_EQ(wrong({"ewb=" + text}),
                  "postern: \"" + text +
                      "\" is not a rate: --sgx-conflict: a decimal from 0 to 1 with up to 9 "
                      "digits, such as 0.5");
    }
}

TEST(ConflictOption, ASeedIsANumberThatIsNotZero) {
    for (const char* const seed : {"", "x", "0", "1,2", "18446744073709551616"})
        EXPECT_EQ(wrong({std::string{"ewb=0.5,"} + seed}),
                  std::string{"postern: \""} + seed +
                      "\" is not a seed: --sgx-conflict: a number from 1 to 18446744073709551615");
}

TEST(ConflictOption, NeedsOneRate) {
    EXPECT_EQ(wrong({"einit"}),
              "postern: \"einit\" does not say how often: --sgx-conflict: "
              "LEAF[+LEAF...]=RATE[,SEED], such as einit+ewb=0.5");
    EXPECT_TRUE(wrong({"einit=0.5=0.5"}).starts_with("postern: \"einit=0.5=0.5\" does not say"));
    EXPECT_TRUE(wrong({""}).starts_with("postern: \"\" does not say how often: "));
}

TEST(ConflictOption, NamesALeafOnce) {
    EXPECT_EQ(wrong({"ewb=0.5", "einit+ewb=0.1"}),
              "postern: ewb is named twice: --sgx-conflict: each leaf once");
}

}  // namespace
}  // namespace postern::app
