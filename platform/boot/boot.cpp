// SPDX-License-Identifier: Apache-2.0
// Which loader loads.
#include "platform/boot/boot.h"

#include "platform/boot/bzimage.h"
#include "platform/boot/linux.h"
#include "platform/boot/multiboot.h"
#include "platform/boot/payload.h"
#include "platform/boot/pvh.h"

namespace postern::platform {

BootWay detect_boot(std::span<const u8> file) {
    if (is_bzimage(file)) return BootWay::linux_kernel;
    const bool multiboot = find_multiboot_header(file) || is_gzip(file) || is_elf32(file);
    return multiboot ? BootWay::multiboot : BootWay::elf;
}

Expected<StartState> load_kernel(BootWay way, const Kernel& kernel, const GuestRam& ram,
                                 const BootTables& tables) {
    switch (way == BootWay::automatic ? detect_boot(kernel.file) : way) {
        case BootWay::linux_kernel: return load_linux(kernel, ram, tables);
        case BootWay::decompress: return load_decompressor(kernel, ram, tables);
        case BootWay::pvh: return load_pvh(kernel, ram, tables);
        case BootWay::multiboot: return load_multiboot(kernel, ram, tables);
        case BootWay::automatic:
        case BootWay::elf: break;
    }
    return load_elf(kernel, ram);
}

}  // namespace postern::platform
