// SPDX-License-Identifier: Apache-2.0
// Placing a kernel and its boot structures in RAM.
#include "platform/boot/start.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "base/bits.h"

namespace postern::platform {

namespace {

// The boot structures, one page after the other: the root table, the table below it, a table of
// 2 MiB pages for each of 4 GiB, a page of small structures, the command line.
constexpr u64 root_page = 0;
constexpr u64 gib_page = 1;
constexpr u64 first_directory_page = 2;
constexpr u64 mapped_gib = 4;
constexpr u64 info_page = first_directory_page + mapped_gib;
constexpr u64 command_line_page = info_page + 1;
constexpr u64 boot_pages = command_line_page + 1;

// Within the page of small structures.
constexpr u64 memory_map_offset = 0x100;
constexpr u64 module_offset = 0x200;
constexpr u64 gdt_offset = 0x300;

constexpr u64 present_writable = 3;
constexpr u64 large_page = 1 << 7;

constexpr u64 code_descriptor = 0x00af'9a00'0000'ffff;
constexpr u64 data_descriptor = 0x00cf'9200'0000'ffff;

struct Range {
    u64 base;
    u64 size;
};

template <class T>
void put(const GuestRam& ram, u64 address, const T& value) {
    std::memcpy(ram.at(address), &value, sizeof value);
}

/// The lowest address for `size` bytes of low RAM, page-aligned, from 4 KiB on, that touches none
/// of `taken` (by rising address); 0 if there is none.
u64 find_gap(const std::vector<Range>& taken, u64 size, u64 low_size) {
    u64 base = page_size;
    for (const Range& range : taken)
        if (base < range.base + range.size && range.base < base + size)
            base = align_up(range.base + range.size, page_size);
    return base + size <= low_size ? base : 0;
}

void add_range(std::vector<Range>& taken, Range range) {
    taken.insert(std::ranges::upper_bound(taken, range.base, {}, &Range::base), range);
}

void put_segments(const ElfImage& image, const std::vector<u8>& file, const GuestRam& ram) {
    for (const ElfSegment& segment : image.segments) {
        // What lies beyond the file's part is zero already: RAM is fresh.
        if (segment.file_size == 0) continue;
        std::memcpy(ram.at(segment.physical), file.data() + segment.file_offset, segment.file_size);
    }
}

void put_identity_map(u64 base, const GuestRam& ram) {
    const auto page = [base](u64 index) { return base + index * page_size; };
    std::memset(ram.at(base), 0, info_page * page_size);
    put(ram, page(root_page), page(gib_page) | present_writable);
    for (u64 n = 0; n < mapped_gib; ++n)
        put(ram, page(gib_page) + 8 * n, page(first_directory_page + n) | present_writable);
    for (u64 n = 0; n < mapped_gib * 512; ++n)
        put(ram, page(first_directory_page) + 8 * n, n * 2 * mib | present_writable | large_page);
}

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
    put(ram, base + gdt_offset + 8, code_descriptor);
    put(ram, base + gdt_offset + 16, data_descriptor);
}

}  // namespace

Expected<StartState> load_elf(const Kernel& kernel, const GuestRam& ram) {
    auto image = parse_elf(kernel.file, kernel.name, ram.layout);
    if (!image) return std::unexpected{image.error()};
    if (kernel.command_line.size() > command_line_most)
        return error(fmt::format("a command line of {} bytes", kernel.command_line.size()),
                     "--append", "at most 4095 bytes");
    std::vector<Range> taken;
    for (const ElfSegment& segment : image->segments)
        taken.push_back({segment.physical, segment.memory_size});
    const u64 boot = find_gap(taken, boot_pages * page_size, ram.layout.low_size);
    if (boot == 0)
        return error("the kernel leaves no 32 KiB for the boot structures", kernel.name,
                     "a smaller kernel, or more --memory");
    add_range(taken, {boot, boot_pages * page_size});
    const u64 initrd = find_gap(taken, kernel.initrd.size(), ram.layout.low_size);
    if (!kernel.initrd.empty() && initrd == 0)
        return error(fmt::format("{} bytes do not fit in memory", kernel.initrd.size()), "--initrd",
                     "a smaller file, or more --memory");

    put_segments(*image, kernel.file, ram);
    put_identity_map(boot, ram);
    put_start_info(boot, initrd, kernel, ram);
    StartState start;
    start.rip = image->entry;
    start.rsi = boot + info_page * page_size;
    start.cr3 = boot;
    start.gdt_base = start.rsi + gdt_offset;
    start.gdt_limit = 3 * 8 - 1;
    start.code_selector = 0x08;
    start.data_selector = 0x10;
    return start;
}

}  // namespace postern::platform
