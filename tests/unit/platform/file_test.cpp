// SPDX-License-Identifier: Apache-2.0
// Files that cannot be read are named.
#include "platform/boot/file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace postern::platform {
namespace {

TEST(ReadFile, AMissingFileAndADirectoryAreNamed) {
    const std::string directory = ::testing::TempDir();
    const std::string missing = directory + "postern-no-such-file";
    EXPECT_EQ(read_file(missing, 10, "a file").error().what, "no such file");
    EXPECT_EQ(read_file(missing, 10, "a file").error().where, missing);
    EXPECT_EQ(read_file(directory, 10, "a file").error().what, "it is a directory");
}

TEST(ReadFile, AFileIsReadWholeOrRefusedForItsSize) {
    const std::string path = ::testing::TempDir() + "postern-read-file-" + std::to_string(getpid());
    std::ofstream{path} << "12345";
    EXPECT_EQ(*read_file(path, 5, "a file"), (std::vector<u8>{'1', '2', '3', '4', '5'}));
    EXPECT_EQ(read_file(path, 4, "a file").error().what, "5 bytes are more than the 4 that fit");
    std::filesystem::remove(path);
}

}  // namespace
}  // namespace postern::platform
