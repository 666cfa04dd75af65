// SPDX-License-Identifier: Apache-2.0
// Headers of thirteen hexadecimal numbers, and padding to multiples of four.
#include "app/exec/cpio.h"

#include <sys/stat.h>

#include <array>
#include <iterator>

#include <fmt/format.h>

namespace postern::app::exec {

void CpioArchive::add_directory(std::string_view path, u32 mode) { add(path, S_IFDIR | mode, {}); }

void CpioArchive::add_link(std::string_view path, std::string_view target) {
    add(path, S_IFLNK | 0777, {reinterpret_cast<const u8*>(target.data()), target.size()});
}

void CpioArchive::add_file(std::string_view path, u32 mode, std::span<const u8> content) {
    add(path, S_IFREG | mode, content);
}

void CpioArchive::add(std::string_view path, u32 mode, std::span<const u8> content) {
    const u32 links = S_ISDIR(mode) ? 2 : 1;
    const std::array<u32, 13> fields{++inode_,
                                     mode,
                                     0,  // owner
                                     0,  // group
                                     links,
                                     0,  // time
                                     static_cast<u32>(content.size()),
                                     0,  // device, two numbers
                                     0,
                                     0,  // what a special file is, two numbers
                                     0,
                                     static_cast<u32>(path.size() + 1),
                                     0};  // a checksum, which this format has not
    auto end = std::back_inserter(bytes_);
    fmt::format_to(end, "070701");
    for (const u32 field : fields) fmt::format_to(end, "{:08x}", field);
    bytes_.insert(bytes_.end(), path.begin(), path.end());
    bytes_.push_back(0);
    pad();
    bytes_.insert(bytes_.end(), content.begin(), content.end());
    pad();
}

void CpioArchive::pad() { bytes_.resize((bytes_.size() + 3) / 4 * 4); }

std::vector<u8> CpioArchive::finish() && {
    add("TRAILER!!!", 0, {});
    return std::move(bytes_);
}

}  // namespace postern::app::exec
