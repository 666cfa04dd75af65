// SPDX-License-Identifier: Apache-2.0
// Linux, entered by its 64-bit boot protocol: unpacked here, or left to unpack itself.
#pragma once

#include "platform/boot/start.h"

namespace postern::platform {

/// `--boot linux`: the kernel inside a bzImage, or a bare vmlinux, entered at its e_entry. RSI is
/// boot_params. `ram` as for load_elf().
Expected<StartState> load_linux(const Kernel& kernel, const GuestRam& ram,
                                const BootTables& tables);

/// `--boot decompress`: the bzImage's own protected-mode code, entered at its 64-bit entry.
Expected<StartState> load_decompressor(const Kernel& kernel, const GuestRam& ram,
                                       const BootTables& tables);

}  // namespace postern::platform
