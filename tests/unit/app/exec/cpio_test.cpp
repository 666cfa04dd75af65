// SPDX-License-Identifier: Apache-2.0
// Archives, byte for byte, and as Debian's cpio would see them: the numbers are written by hand.
#include "app/exec/cpio.h"

#include <gtest/gtest.h>

#include <string>

namespace postern::app::exec {
namespace {

std::string text_of(std::vector<u8> bytes) { return {bytes.begin(), bytes.end()}; }

constexpr const char* trailer =
    "070701000000010000000000000000000000000000000100000000000000000000000000000000000000000000"
    "00000000000b00000000TRAILER!!!";

TEST(Cpio, AnEmptyArchiveIsItsTrailer) {
    EXPECT_EQ(text_of(CpioArchive{}.finish()), std::string{trailer} + std::string(4, '\0'));
}

TEST(Cpio, AFileIsHeaderNamePaddingContentPadding) {
    CpioArchive archive;
    const u8 content[] = {'h', 'i', '\n', 0, 0xff};
    archive.add_file("a/b", 0755, content);
    const std::string text = text_of(std::move(archive).finish());
    const std::string header =
        "070701"
        "00000001"  // inode
        "000081ed"  // a file, rwxr-xr-x
        "00000000"
        "00000000"
        "00000001"  // owner, group, links
        "00000000"
        "00000005"  // time, size
        "00000000"
        "00000000"  // device
        "00000000"
        "00000000"  // device of a special file
        "00000004"
        "00000000";  // length of the name with its NUL, checksum
    const std::string whole =
        header + std::string("a/b\0\0\0", 6) + std::string("hi\n\0\xff", 5) + std::string(3, '\0');
    EXPECT_EQ(text.substr(0, whole.size()), whole);
    EXPECT_EQ(text.substr(whole.size(), 14), "07070100000002");
    EXPECT_EQ(text.size() % 4, 0u);
}

TEST(Cpio, DirectoriesAndLinksHaveTheirKinds) {
    CpioArchive archive;
    archive.add_directory("d", 0700);
    archive.add_link("l", "d/x");
    const std::string text = text_of(std::move(archive).finish());
    EXPECT_EQ(text.substr(14, 8), "000041c0");
    EXPECT_EQ(text.substr(38, 8), "00000002");  // a directory has two links
    EXPECT_EQ(text.substr(112 + 14, 8), "0000a1ff");
    EXPECT_EQ(text.substr(112 + 54, 8), "00000003");
    EXPECT_EQ(text.substr(112 + 112, 3), "d/x");
}

}  // namespace
}  // namespace postern::app::exec
