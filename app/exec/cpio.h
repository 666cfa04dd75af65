// SPDX-License-Identifier: Apache-2.0
// An archive in cpio's format newc: Linux, "initramfs buffer format". The same files give the same
// bytes: times are zero, owners root, inodes counted.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"

namespace postern::app::exec {

class CpioArchive {
public:
    /// Paths have no slash in front. `mode`: the permissions only.
    void add_directory(std::string_view path, u32 mode);
    void add_link(std::string_view path, std::string_view target);
    void add_file(std::string_view path, u32 mode, std::span<const u8> content);

    /// The whole archive; nothing can be added then.
    std::vector<u8> finish() &&;

private:
    void add(std::string_view path, u32 mode, std::span<const u8> content);
    void pad();

    std::vector<u8> bytes_;
    u32 inode_ = 0;
};

}  // namespace postern::app::exec
