// SPDX-License-Identifier: Apache-2.0
// Kernels of the Multiboot Specification (version 0.6.96, also called Multiboot 1): ELF, or any
// file whose header gives the addresses itself; packed with gzip or not.
#pragma once

#include <optional>
#include <span>

#include "platform/boot/start.h"

namespace postern::platform {

/// What a kernel's header asks for. Flags 0 to 15 are demands, the others offers.
struct MultibootHeader {
    u32 magic;
    u32 flags;
    u32 checksum;
    // Only with flag 16:
    u32 header_address;
    u32 load_address;
    u32 load_end;  // 0: to the end of the file
    u32 bss_end;   // 0: nothing beyond
    u32 entry;
};
static_assert(sizeof(MultibootHeader) == 32);

struct FoundMultibootHeader {
    u64 offset;
    MultibootHeader header;
};

/// The first header with a right checksum in the part of the file that may hold one.
std::optional<FoundMultibootHeader> find_multiboot_header(std::span<const u8> file);

/// `--boot multiboot`: protected mode without paging, EAX = the boot loader's magic number,
/// EBX = the boot information. Kernel::modules are the modules. `ram` as for load_elf().
Expected<StartState> load_multiboot(const Kernel& kernel, const GuestRam& ram,
                                    const BootTables& tables);

// What EBX leads to.
struct MultibootInfo {
    u32 flags;
    u32 memory_lower;  // KiB from 0
    u32 memory_upper;  // KiB from 1 MiB, up to the first hole
    u32 boot_device;
    u32 command_line;
    u32 module_count;
    u32 modules;
    u32 symbols[4];
    u32 memory_map_size;
    u32 memory_map;
    u32 drives_size;
    u32 drives;
    u32 configuration_table;
    u32 loader_name;
    u32 apm_table;
    u32 vbe[4];
};
static_assert(sizeof(MultibootInfo) == 88 && offsetof(MultibootInfo, memory_map) == 48);
static_assert(offsetof(MultibootInfo, loader_name) == 64);

enum MultibootInfoFlag : u32 {
    multiboot_has_memory = 1u << 0,
    multiboot_has_command_line = 1u << 2,
    multiboot_has_modules = 1u << 3,
    multiboot_has_memory_map = 1u << 6,
    multiboot_has_loader_name = 1u << 9,
};

struct MultibootModule {
    u32 start;
    u32 end;
    u32 command_line;
    u32 reserved;
};
static_assert(sizeof(MultibootModule) == 16);

/// Its bytes, one entry behind the other; `size` does not count itself.
struct [[gnu::packed]] MultibootMemoryRange {
    u32 size;
    u64 base;
    u64 length;
    u32 type;
};
static_assert(sizeof(MultibootMemoryRange) == 24);

inline constexpr u32 multiboot_header_magic = 0x1bad'b002;
inline constexpr u32 multiboot_loader_magic = 0x2bad'b002;

}  // namespace postern::platform
