// SPDX-License-Identifier: Apache-2.0
// A raw disk image in a file of the host, read and written in sectors of 512 bytes.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "base/types.h"
#include "platform/error.h"

namespace postern::platform {

class Disk {
public:
    static constexpr u64 sector_size = 512;

    /// `path` is a regular file of whole sectors, for reading and writing.
    static Expected<std::unique_ptr<Disk>> open(const std::string& path);
    ~Disk();
    Disk(const Disk&) = delete;
    Disk& operator=(const Disk&) = delete;

    [[nodiscard]] u64 size() const { return size_; }
    // False: the bytes do not all lie on the disk, or the host failed.
    [[nodiscard]] bool read(u64 offset, std::span<u8> to) const;
    [[nodiscard]] bool write(u64 offset, std::span<const u8> from) const;
    [[nodiscard]] bool flush() const;

private:
    Disk(int file, u64 size) : file_{file}, size_{size} {}
    [[nodiscard]] bool holds(u64 offset, u64 count) const {
        return offset <= size_ && count <= size_ - offset;
    }

    int file_;
    u64 size_;
};

}  // namespace postern::platform
