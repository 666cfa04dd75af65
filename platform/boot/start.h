// SPDX-License-Identifier: Apache-2.0
// What a kernel finds when it begins: its segments in RAM, an identity map of 4 GiB, flat
// segments, and the PVH start info with memory map, modules and command line.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "platform/boot/elf.h"
#include "platform/boot/memory_map.h"
#include "platform/layout.h"

namespace postern::platform {

/// A guest's RAM as the loader fills it: one stretch of host memory, the hole left out.
struct GuestRam {
    u8* bytes = nullptr;
    Layout layout;

    /// The host's address of a physical address that is RAM.
    [[nodiscard]] u8* at(u64 address) const { return bytes + layout.offset_of(address); }
};

/// A file that goes with a Multiboot kernel.
struct Module {
    std::string name;  // for errors
    std::vector<u8> bytes;
    std::string command_line;  // its file's name first
};

struct Kernel {
    std::string name;  // for errors
    std::vector<u8> file;
    std::vector<u8> initrd;  // empty: no module
    std::string command_line;
    std::vector<Module> modules{};  // Multiboot has these for an initrd
};

/// What firmware has left for a kernel that is not our own guest.
struct BootTables {
    u64 rsdp = 0;                     // physical address of ACPI's root pointer; 0: no ACPI
    std::vector<MemoryRange> memory;  // memory_map(layout)
};

enum class StartMode : u8 {
    long_64,       // 4-level paging with an identity map
    protected_32,  // no paging
};

/// The processor's state at the first instruction: flat segments, interrupts off.
struct StartState {
    StartMode mode = StartMode::long_64;
    u64 rip = 0;
    u64 rsi = 0;  // long_64: physical address of the start info, or of Linux's boot_params
    u64 rax = 0;  // protected_32: Multiboot's magic number
    u64 rbx = 0;  // protected_32: physical address of the start info or boot information
    u64 cr3 = 0;
    u64 gdt_base = 0;
    u16 gdt_limit = 0;
    u16 code_selector = 0;
    u16 data_selector = 0;
};

inline constexpr size_t command_line_most = page_size - 1;

/// `--boot elf`. `ram` may hold anything: after a reset it holds what was left there. All is
/// checked before its first byte is written.
Expected<StartState> load_elf(const Kernel& kernel, const GuestRam& ram);

// Xen, "x86/HVM direct boot ABI" (PVH): what RSI leads to.
struct PvhStartInfo {
    u32 magic;
    u32 version;
    u32 flags;
    u32 module_count;
    u64 modules;
    u64 command_line;
    u64 rsdp;
    u64 memory_map;
    u32 memory_map_entries;
    u32 reserved;
};
static_assert(sizeof(PvhStartInfo) == 56 && offsetof(PvhStartInfo, memory_map) == 40);
inline constexpr u32 pvh_magic = 0x336e'c578;

struct PvhModule {
    u64 physical;
    u64 size;
    u64 command_line;
    u64 reserved;
};
static_assert(sizeof(PvhModule) == 32);

enum class PvhMemoryType : u32 { ram = 1, reserved = 2 };

struct PvhMemoryRange {
    u64 base;
    u64 size;
    PvhMemoryType type;
    u32 reserved;
};
static_assert(sizeof(PvhMemoryRange) == 24);

}  // namespace postern::platform
