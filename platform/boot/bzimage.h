// SPDX-License-Identifier: Apache-2.0
// Linux's bzImage: its setup header, with everything checked that a broken or hostile file could
// get wrong, and its parts. Nothing is copied or unpacked here.
#pragma once

#include <span>
#include <string>

#include "base/types.h"
#include "platform/error.h"

namespace postern::platform {

/// The spans point into the file.
struct BzImage {
    std::span<const u8> setup_header;  // from offset 1F1H to the end that it names
    std::span<const u8> code;          // what runs in protected mode: unpacks the payload
    std::span<const u8> payload;       // the packed kernel, within `code`
    u64 pref_address;                  // where the kernel wants to run: a page, from 1 MiB on
    u64 init_size;                     // bytes it uses there before it looks at the memory map
    u64 initrd_end;                    // the initrd lies below
    u32 command_line_most;             // bytes, without the terminating zero
    bool relocatable;
    bool above_4g;  // initrd and others may lie above 4 GiB
};

/// True if the file says of itself that it is a bzImage (or older: a kernel with a setup header).
bool is_bzimage(std::span<const u8> file);

/// `name` is what errors call the file.
Expected<BzImage> parse_bzimage(std::span<const u8> file, const std::string& name);

}  // namespace postern::platform
