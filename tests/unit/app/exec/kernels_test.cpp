// SPDX-License-Identifier: Apache-2.0
// Which kernel is taken if none is named.
#include "app/exec/kernels.h"

#include <chrono>
#include <cstdlib>

#include "unit/app/exec/host_files.h"

namespace postern::app::exec {
namespace {

class Kernels : public HostFiles {
protected:
    std::string kernel(const std::string& name, int year) {
        const std::string made = file(name, "kernel");
        const auto time =
            std::chrono::sys_seconds{std::chrono::sys_days{std::chrono::year{year} / 1 / 1}};
        std::filesystem::last_write_time(made, std::chrono::file_clock::from_sys(time));
        return made;
    }
    [[nodiscard]] platform::Expected<std::string> find() const {
        return find_kernel(path("build/release"), path("cache"));
    }
};

TEST_F(Kernels, TheNewestOfTheBuildAndTheCacheIsTaken) {
    std::filesystem::create_directories(path("build/release"));
    const std::string built = kernel("build/kernels/amd64/vmlinuz", 2020);
    EXPECT_EQ(find().value(), built);
    kernel("build/kernels/cloud/vmlinuz", 2019);
    EXPECT_EQ(find().value(), built);
    const std::string unpacked = kernel("cache/kernels/boot/vmlinuz-6.1.0-56-amd64", 2022);
    EXPECT_EQ(find().value(), unpacked);
    const std::string cached = kernel("cache/kernels/mine/vmlinuz", 2023);
    EXPECT_EQ(find().value(), cached);
    EXPECT_EQ(find_kernel(path("build/release"), "").value(), built);
}

TEST_F(Kernels, OfTwoOfOneTimeTheFirstByNameIsTaken) {
    std::filesystem::create_directories(path("build/release"));
    kernel("build/kernels/cloud/vmlinuz", 2020);
    const std::string amd64 = kernel("build/kernels/amd64/vmlinuz", 2020);
    EXPECT_EQ(find().value(), amd64);
}

TEST_F(Kernels, NoneIsALineWithTheCommandThatGetsOne) {
    const auto found = find();
    ASSERT_FALSE(found);
    EXPECT_EQ(found.error().what, "no kernel is there");
    EXPECT_NE(found.error().right.find("tools/kernels.sh"), std::string::npos);
    EXPECT_NE(found.error().right.find("cd " + path("cache/kernels") + " && apt-get download"),
              std::string::npos);
}

TEST(CacheDirectory, IsWhereTheXdgSpecificationSays) {
    const char* const cache = std::getenv("XDG_CACHE_HOME");
    const std::string before = cache != nullptr ? cache : "";
    ::setenv("XDG_CACHE_HOME", "/somewhere", 1);
    EXPECT_EQ(cache_directory(), "/somewhere/postern");
    ::setenv("XDG_CACHE_HOME", "not/absolute", 1);
    const std::string home = std::getenv("HOME") != nullptr ? std::getenv("HOME") : "";
    ::setenv("HOME", "/a/home", 1);
    EXPECT_EQ(cache_directory(), "/a/home/.cache/postern");
    ::unsetenv("HOME");
    EXPECT_EQ(cache_directory(), "");
    if (!home.empty()) ::setenv("HOME", home.c_str(), 1);
    if (before.empty())
        ::unsetenv("XDG_CACHE_HOME");
    else
        ::setenv("XDG_CACHE_HOME", before.c_str(), 1);
}

}  // namespace
}  // namespace postern::app::exec
