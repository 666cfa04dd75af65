// SPDX-License-Identifier: Apache-2.0
// Unpacking of the kernel inside a bzImage, or of a kernel packed by itself, with the libraries
// that wrote the formats.
#pragma once

#include <span>
#include <string>

#include "platform/error.h"
#include "platform/host_memory.h"

namespace postern::platform {

struct Unpacked {
    HostMemory memory;
    u64 size = 0;

    [[nodiscard]] std::span<const u8> bytes() const { return {memory.data(), size}; }
};

/// xz, gzip, zstd, LZ4 (the legacy frame) or LZMA, told by the first bytes; other formats are
/// refused by name. More than `most` bytes (not 0) are refused, and so is an incomplete stream.
/// What follows the stream is ignored: the kernel's build appends the unpacked size.
Expected<Unpacked> unpack(std::span<const u8> packed, u64 most, const std::string& name);

/// A whole file packed with gzip, which is no payload of another.
bool is_gzip(std::span<const u8> file);
Expected<Unpacked> unpack_gzip_file(std::span<const u8> file, u64 most, const std::string& name);

}  // namespace postern::platform
