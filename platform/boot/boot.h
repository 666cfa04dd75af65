// SPDX-License-Identifier: Apache-2.0
// The ways of entering a kernel, by the names that `--boot` has for them.
#pragma once

#include <span>

#include "platform/boot/start.h"

namespace postern::platform {

/// "linux" is a macro of the compilers.
enum class BootWay : u8 { automatic, elf, pvh, linux_kernel, decompress, multiboot };

/// What `automatic` means for a file: a bzImage is Linux; a file with a Multiboot header is
/// Multiboot, and so is what only that way takes (gzip, ELF32); everything else is ELF.
BootWay detect_boot(std::span<const u8> file);

/// Loads by the way that is asked for. load_elf() is not told of `tables`.
Expected<StartState> load_kernel(BootWay way, const Kernel& kernel, const GuestRam& ram,
                                 const BootTables& tables);

}  // namespace postern::platform
