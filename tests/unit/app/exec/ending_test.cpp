// SPDX-License-Identifier: Apache-2.0
// How a program's end becomes a status and a line.
#include "app/exec/ending.h"

#include <gtest/gtest.h>

namespace postern::app::exec {
namespace {

using platform::ComputerOutcome;
using platform::ComputerStop;

void expect_end(u32 word, int status, const std::string& text) {
    const Ending end = ending_of_word(word, "./app", "no room: file");
    EXPECT_EQ(end.status, status);
    EXPECT_EQ(end.text, text);
    EXPECT_FALSE(end.of_kernel);
}

TEST(Ending, OfAProgramIsItsStatus) {
    for (const u32 status : {0u, 1u, 7u, 124u, 255u})
        expect_end(status << 8, static_cast<int>(status), "");
}

TEST(Ending, BySignalIs128AndItsNumber) {
    expect_end(0x0b01, 139, "./app was ended by signal 11 (SIGSEGV)");
    expect_end(0x0601, 134, "./app was ended by signal 6 (SIGABRT)");
    expect_end(0x0901, 137, "./app was ended by signal 9 (SIGKILL)");
    expect_end(0x2801, 168, "./app was ended by signal 40");  // a real-time one has no name
}

TEST(Ending, OfWhatWasNotExecutedSaysWhy) {
    expect_end(0x0202, 127, "./app cannot be executed: No such file or directory");
    expect_end(0x0d02, 126, "./app cannot be executed: Permission denied");
    expect_end(0x0802, 126, "./app cannot be executed: Exec format error");
}

TEST(Ending, OfInitIsOurs) {
    expect_end(0x0003, 125, "./app was not run: no room: file");
    expect_end(0x00ff, 125, "something wrote 0xff to the exit port");
}

TEST(Ending, OfTheKernelIsOursAndItsLogTellsWhy) {
    for (const ComputerStop stop : {ComputerStop::reset, ComputerStop::power_off,
                                    ComputerStop::shutdown, ComputerStop::halted}) {
        const Ending end = ending_of({stop}, "./app", "");
        EXPECT_EQ(end.status, 125);
        EXPECT_TRUE(end.of_kernel);
        EXPECT_NE(end.text, "");
    }
    EXPECT_EQ(ending_of({ComputerStop::unimplemented, 0, 0, "XYZ"}, "./app", "").text,
              "not implemented: XYZ");
}

}  // namespace
}  // namespace postern::app::exec
