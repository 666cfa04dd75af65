// SPDX-License-Identifier: Apache-2.0
// What the loader says: memory map, and where the command line is.
#pragma once

#include "base/types.h"

namespace postern::guests {

/// hvm_start_info of the PVH boot protocol, version 1.
struct StartInfo {
    u32 magic, version, flags, module_count;
    u64 modules, command_line, rsdp, memory_map;
    u32 memory_map_entries, reserved;
};

struct MemoryRange {
    u64 address, size;
    u32 type, reserved;
};

/// Ends the machine with one line if something is wrong.
const StartInfo& checked_start_info(u64 address);

/// A page of RAM that neither the kernel nor the loader has touched.
u64 find_untouched_page(const StartInfo& info);

}  // namespace postern::guests
