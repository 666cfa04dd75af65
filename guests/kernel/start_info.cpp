// SPDX-License-Identifier: Apache-2.0
#include "guests/kernel/start_info.h"

#include "guests/kernel/console.h"

namespace postern::guests {
namespace {

constexpr u32 start_info_magic = 0x336e'c578;
constexpr u32 usable_ram = 1;

extern "C" const u8 kernel_end[];

bool overlap(u64 page, u64 start, u64 length) {
    return start < page + 4096 && page < start + length;
}

bool is_ram(const StartInfo& info, u64 page) {
    const auto* ranges = reinterpret_cast<const MemoryRange*>(info.memory_map);
    for (u32 i = 0; i < info.memory_map_entries; ++i) {
        const MemoryRange& range = ranges[i];
        if (range.type == usable_ram && page >= range.address &&
            page + 4096 <= range.address + range.size)
            return true;
    }
    return false;
}

bool is_loaders(const StartInfo& info, u64 page) {
    return overlap(page, reinterpret_cast<u64>(&info), sizeof info) ||
           overlap(page, info.command_line, 4096) ||
           overlap(page, info.memory_map, info.memory_map_entries * sizeof(MemoryRange)) ||
           overlap(page, info.modules, info.module_count * 32);
}

}  // namespace

const StartInfo& checked_start_info(u64 address) {
    const auto& info = *reinterpret_cast<const StartInfo*>(address);
    if (info.magic != start_info_magic) fail((Line{} << "no hvm_start_info at ").hex(address));
    if (info.version < 1) fail(Line{} << "hvm_start_info is of version 0: it has no memory map");
    return info;
}

u64 find_untouched_page(const StartInfo& info) {
    // Far above the kernel, not at the start of a large page, where a loader might put things.
    constexpr u64 large_page = 2 << 20;
    constexpr u64 within = 0x5000;
    const u64 end = reinterpret_cast<u64>(kernel_end);
    for (u64 at = (end / large_page + 4) * large_page; at < u64{1} << 32; at += large_page)
        if (is_ram(info, at + within) && !is_loaders(info, at + within)) return at + within;
    fail(Line{} << "the memory map has no RAM above the kernel");
}

}  // namespace postern::guests
