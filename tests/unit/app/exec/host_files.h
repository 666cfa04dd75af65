// SPDX-License-Identifier: Apache-2.0
// A directory of files on the host, gone at the end.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace postern::app::exec {

class HostFiles : public ::testing::Test {
protected:
    HostFiles() {
        // Without links on the way: what is expected is written with these paths.
        std::string name =
            std::filesystem::canonical(::testing::TempDir()).string() + "/execXXXXXX";
        top_ = ::mkdtemp(name.data());
    }
    ~HostFiles() override {
        std::error_code code;
        std::filesystem::remove_all(top_, code);
    }

    [[nodiscard]] std::string path(const std::string& name) const { return top_ + "/" + name; }
    [[nodiscard]] const std::string& top() const { return top_; }
    std::string file(const std::string& name, const std::string& content, unsigned mode = 0644) {
        std::filesystem::create_directories(std::filesystem::path{path(name)}.parent_path());
        std::ofstream{path(name), std::ios::binary} << content;
        std::filesystem::permissions(path(name), std::filesystem::perms{mode});
        return path(name);
    }
    void link(const std::string& name, const std::string& target) {
        std::filesystem::create_symlink(target, path(name));
    }

private:
    std::string top_;
};

}  // namespace postern::app::exec
