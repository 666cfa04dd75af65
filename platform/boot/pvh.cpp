// SPDX-License-Identifier: Apache-2.0
// Xen, "x86/HVM direct boot ABI"; Xen's public header elfnote.h.
#include "platform/boot/pvh.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include <fmt/format.h>

#include "base/bits.h"
#include "platform/boot/free_memory.h"
#include "platform/boot/structures.h"
#include "platform/boot/vmlinux.h"

namespace postern::platform {

namespace {

constexpr u32 note_phys32_entry = 18;  // XEN_ELFNOTE_PHYS32_ENTRY
constexpr u8 note_owner[] = {'X', 'e', 'n', 0};

struct NoteHeader {
    u32 name_size;
    u32 content_size;
    u32 type;
};
static_assert(sizeof(NoteHeader) == 12);

// The boot structures: a page of small ones, then the command line. In conventional memory, above
// what real-mode firmware uses.
constexpr u64 boot_pages = 2;
constexpr u64 boot_from = 0x1'0000;
constexpr u64 module_offset = 0x080;
constexpr u64 gdt_offset = 0x0c0;
constexpr u64 memory_map_offset = 0x100;
constexpr size_t memory_map_most = (page_size - memory_map_offset) / sizeof(PvhMemoryRange);
constexpr u16 code_selector = 0x08;

/// A note of `notes` and what follows it. Name and content are padded to 4 bytes.
std::optional<u64> entry_in(std::span<const u8> notes) {
    while (notes.size() >= sizeof(NoteHeader)) {
        NoteHeader note{};
        std::memcpy(&note, notes.data(), sizeof note);
        const u64 name_end = sizeof note + u64{note.name_size};
        const u64 content = align_up(name_end, u64{4});
        const u64 end = content + note.content_size;
        if (end > notes.size()) return {};
        const bool wanted =
            note.type == note_phys32_entry && note.content_size >= 4 &&
            std::ranges::equal(notes.subspan(sizeof note, note.name_size), note_owner);
        if (wanted) {
            u64 entry = 0;
            std::memcpy(&entry, notes.data() + content, std::min<u64>(note.content_size, 8));
            return entry;
        }
        notes = notes.subspan(std::min<u64>(align_up(end, u64{4}), notes.size()));
    }
    return {};
}

Expected<u64> entry_of(const Vmlinux& vmlinux, const std::string& name) {
    constexpr const char* right = "a kernel with a PVH entry; another --boot";
    for (const ElfNotes& notes : vmlinux.image.notes) {
        const auto entry = entry_in(vmlinux.bytes.subspan(notes.file_offset, notes.file_size));
        if (!entry) continue;
        if (*entry >= high_ram_base || !vmlinux.image.covers(*entry))
            return error(fmt::format("PVH entry {:#x} is in no segment below 4 GiB", *entry), name,
                         right);
        return *entry;
    }
    return error("ELF without a PVH entry (no note XEN_ELFNOTE_PHYS32_ENTRY)", name, right);
}

struct Places {
    u64 boot;
    u64 initrd;
};

Expected<Places> place(const Kernel& kernel, const Vmlinux& vmlinux, const BootTables& tables) {
    FreeMemory memory{tables.memory};
    std::vector<Range> used;
    for (const ElfSegment& segment : vmlinux.image.segments)
        used.push_back({segment.physical, segment.memory_size});
    if (vmlinux.packed) used.push_back({vmlinux.packed->pref_address, vmlinux.packed->init_size});
    for (const Range& range : used)
        if (!memory.has(range))
            return error(fmt::format("the kernel needs memory from {:#x} to {:#x}", range.base,
                                     range.base + range.size),
                         kernel.name, "more --memory");
    for (const Range& range : used) memory.take(range);
    const auto boot = memory.lowest(boot_pages * page_size, boot_from, high_ram_base);
    if (!boot)
        return error("the kernel leaves no 8 KiB for the boot structures", kernel.name,
                     "a smaller kernel, or more --memory");
    memory.take({*boot, boot_pages * page_size});
    const auto initrd = memory.highest(kernel.initrd.size(), mib, high_ram_base);
    if (!initrd && !kernel.initrd.empty())
        return error(fmt::format("{} bytes do not fit in memory", kernel.initrd.size()), "--initrd",
                     "a smaller file, or more --memory");
    return Places{*boot, initrd.value_or(0)};
}

void put_memory_map(const GuestRam& ram, u64 base, const std::vector<MemoryRange>& memory) {
    for (const MemoryRange& range : memory) {
        put(ram, base,
            PvhMemoryRange{range.base, range.size, static_cast<PvhMemoryType>(range.kind), 0});
        base += sizeof(PvhMemoryRange);
    }
}

void put_start_info(const GuestRam& ram, const Places& places, const Kernel& kernel,
                    const BootTables& tables) {
    const u64 base = places.boot;
    std::memset(ram.at(base), 0, boot_pages * page_size);
    PvhStartInfo info{};
    info.magic = pvh_magic;
    info.version = 1;
    info.command_line = base + page_size;
    info.rsdp = tables.rsdp;
    info.memory_map = base + memory_map_offset;
    info.memory_map_entries = static_cast<u32>(tables.memory.size());
    put_memory_map(ram, info.memory_map, tables.memory);
    if (!kernel.initrd.empty()) {
        info.module_count = 1;
        info.modules = base + module_offset;
        put(ram, info.modules, PvhModule{places.initrd, kernel.initrd.size(), 0, 0});
        put_bytes(ram, places.initrd, kernel.initrd);
    }
    put(ram, base, info);
    std::memcpy(ram.at(info.command_line), kernel.command_line.data(), kernel.command_line.size());
}

Expected<void> check(const Kernel& kernel, const BootTables& tables) {
    if (kernel.command_line.size() > command_line_most)
        return error(fmt::format("a command line of {} bytes", kernel.command_line.size()),
                     "--append", "at most 4095 bytes");
    if (tables.memory.size() > memory_map_most)
        return error(fmt::format("a memory map of {} ranges", tables.memory.size()), "--memory",
                     fmt::format("at most {} ranges", memory_map_most));
    return {};
}

}  // namespace

Expected<StartState> load_pvh(const Kernel& kernel, const GuestRam& ram, const BootTables& tables) {
    if (auto checked = check(kernel, tables); !checked) return std::unexpected{checked.error()};
    const auto vmlinux = open_vmlinux(kernel, ram.layout);
    if (!vmlinux) return std::unexpected{vmlinux.error()};
    const auto entry = entry_of(*vmlinux, kernel.name);
    if (!entry) return std::unexpected{entry.error()};
    const auto places = place(kernel, *vmlinux, tables);
    if (!places) return std::unexpected{places.error()};
    put_segments(vmlinux->image.segments, vmlinux->bytes, ram);
    put_start_info(ram, *places, kernel, tables);
    StartState start;
    start.mode = StartMode::protected_32;
    start.rip = *entry;
    start.rbx = places->boot;
    put_descriptors(ram, places->boot + gdt_offset, code_selector, code_descriptor_32, start);
    return start;
}

}  // namespace postern::platform
