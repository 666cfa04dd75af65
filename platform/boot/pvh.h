// SPDX-License-Identifier: Apache-2.0
// Kernels with Xen's note of a 32-bit entry (PVH): ELF, or what a bzImage holds packed.
#pragma once

#include "platform/boot/start.h"

namespace postern::platform {

/// `--boot pvh`: protected mode without paging, EBX = the start info. `ram` as for load_elf().
/// Xen, "x86/HVM direct boot ABI".
Expected<StartState> load_pvh(const Kernel& kernel, const GuestRam& ram, const BootTables& tables);

}  // namespace postern::platform
