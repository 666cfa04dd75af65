// SPDX-License-Identifier: Apache-2.0
// Placing a kernel and its boot structures in RAM.
#include "platform/boot/start.h"

#include <cstring>

#include <fmt/format.h>

#include "platform/boot/free_memory.h"
#include "platform/boot/structures.h"

namespace postern::platform {

namespace {

// The boot structures, one page after the other: page tables, a page of small structures, the
// command line.
constexpr u64 info_page = identity_map_pages;
constexpr u64 command_line_page = info_page + 1;
constexpr u64 boot_pages = command_line_page + 1;

// Within the page of small structures.
constexpr u64 memory_map_offset = 0x100;
constexpr u64 module_offset = 0x200;
constexpr u64 gdt_offset = 0x300;
constexpr u16 code_selector = 0x08;

u32 put_memory_map(u64 base, const GuestRam& ram) {
    const Layout& layout = ram.layout;
    std::vector<PvhMemoryRange> map{{0, layout.low_size, PvhMemoryType::ram, 0}};
    if (layout.high_size != 0)
        map.push_back({high_ram_base, layout.high_size, PvhMemoryType::ram, 0});
    if (layout.epc_size != 0)
        map.push_back({layout.epc_base, layout.epc_size, PvhMemoryType::reserved, 0});
    std::memcpy(ram.at(base), map.data(), map.size() * sizeof map[0]);
    return static_cast<u32>(map.size());
}

void put_start_info(u64 boot, u64 initrd, const Kernel& kernel, const GuestRam& ram) {
    const u64 base = boot + info_page * page_size;
    std::memset(ram.at(base), 0, 2 * page_size);
    PvhStartInfo info{};
    info.magic = pvh_magic;
    info.version = 1;
    info.command_line = boot + command_line_page * page_size;
    info.memory_map = base + memory_map_offset;
    info.memory_map_entries = put_memory_map(info.memory_map, ram);
    if (!kernel.initrd.empty()) {
        info.module_count = 1;
        info.modules = base + module_offset;
        put(ram, info.modules, PvhModule{initrd, kernel.initrd.size(), 0, 0});
        std::memcpy(ram.at(initrd), kernel.initrd.data(), kernel.initrd.size());
    }
    put(ram, base, info);
    std::memcpy(ram.at(info.command_line), kernel.command_line.data(), kernel.command_line.size());
}

}  // namespace

Expected<StartState> load_elf(const Kernel& kernel, const GuestRam& ram) {
    auto image = parse_elf(kernel.file, kernel.name, ram.layout);
    if (!image) return std::unexpected{image.error()};
    if (kernel.command_line.size() > command_line_most)
        return error(fmt::format("a command line of {} bytes", kernel.command_line.size()),
                     "--append", "at most 4095 bytes");
    const u64 end = ram.layout.low_size;
    FreeMemory memory{std::vector<Range>{{0, end}}};
    for (const ElfSegment& segment : image->segments)
        memory.take({segment.physical, segment.memory_size});
    const auto boot = memory.lowest(boot_pages * page_size, page_size, end);
    if (!boot)
        return error("the kernel leaves no 32 KiB for the boot structures", kernel.name,
                     "a smaller kernel, or more --memory");
    memory.take({*boot, boot_pages * page_size});
    const auto initrd = memory.lowest(kernel.initrd.size(), page_size, end);
    if (!initrd)
        return error(fmt::format("{} bytes do not fit in memory", kernel.initrd.size()), "--initrd",
                     "a smaller file, or more --memory");

    put_segments(image->segments, kernel.file, ram);
    put_identity_map(ram, *boot);
    put_start_info(*boot, *initrd, kernel, ram);
    StartState start;
    start.rip = image->entry;
    start.rsi = *boot + info_page * page_size;
    start.cr3 = *boot;
    put_descriptors(ram, start.rsi + gdt_offset, code_selector, code_descriptor_64, start);
    return start;
}

}  // namespace postern::platform
