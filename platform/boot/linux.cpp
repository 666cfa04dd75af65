// SPDX-License-Identifier: Apache-2.0
// Where Linux and what it is told lie in RAM. Linux, "The Linux/x86 Boot Protocol", "64-bit Boot
// Protocol".
#include "platform/boot/linux.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "platform/boot/boot_params.h"
#include "platform/boot/bzimage.h"
#include "platform/boot/free_memory.h"
#include "platform/boot/structures.h"
#include "platform/boot/vmlinux.h"

namespace postern::platform {

namespace {

// The boot structures, one page after the other: page tables, descriptors, the zero page, the
// command line. In conventional memory, above what real-mode firmware uses.
constexpr u64 gdt_page = identity_map_pages;
constexpr u64 zero_page = gdt_page + 1;
constexpr u64 command_line_page = zero_page + 1;
constexpr u64 boot_pages = command_line_page + 1;
constexpr u64 boot_from = 0x1'0000;

constexpr u16 boot_cs = 0x10;  // __BOOT_CS; __BOOT_DS follows

/// Where the 64-bit entry of the protected-mode code lies.
constexpr u64 entry_64 = 0x200;
constexpr u64 unrelocated_address = mib;

/// What both ways of loading need to know of a kernel.
struct Target {
    std::span<const u8> setup_header;
    Range run;  // where it will run, with all it uses before it looks at the memory map
    u64 initrd_end;
    u64 command_line_most;
    bool above_4g;
    u64 load_address;  // of the protected-mode code; 0: none
    u64 entry;
};

Target target_of(const BzImage& image) {
    return {image.setup_header,
            {image.pref_address, image.init_size},
            image.initrd_end,
            image.command_line_most,
            image.above_4g,
            0,
            0};
}

/// The header that a vmlinux has lost: what Linux reads of it, with the values of the bzImage of
/// a 64-bit kernel.
constexpr std::array<u8, boot_field::setup_header_least_end - boot_field::setup_header>
make_plain_header() {
    std::array<u8, boot_field::setup_header_least_end - boot_field::setup_header> header{};
    const auto put_field = [&header]<class T>(BootField<T> field, T value) {
        for (size_t n = 0; n < sizeof value; ++n)
            header[field.offset - boot_field::setup_header + n] =
                static_cast<u8>(u64{value} >> 8 * n);
    };
    put_field(boot_field::boot_flag, boot_flag_value);
    put_field(boot_field::header, header_magic);
    put_field(boot_field::version, boot_protocol_2_12);
    put_field(boot_field::loadflags, loadflag_loaded_high);
    put_field(boot_field::kernel_alignment, u32{2 * mib});
    put_field(boot_field::xloadflags, xloadflag_kernel_64);
    return header;
}
constexpr auto plain_header = make_plain_header();
constexpr u64 plain_initrd_end = 0x8000'0000;
constexpr u64 plain_command_line_most = 2047;

Target target_of(const ElfImage& image) {
    const u64 base = image.segments.front().physical;
    const ElfSegment& last = image.segments.back();
    return {plain_header,
            {base, last.physical + last.memory_size - base},
            plain_initrd_end,
            plain_command_line_most,
            false,
            0,
            image.entry};
}

/// Where everything goes.
struct Places {
    u64 boot;
    u64 initrd;
};

std::unexpected<Error> no_room(Range range, const std::string& name) {
    return error(fmt::format("the kernel needs memory from {:#x} to {:#x}", range.base,
                             range.base + range.size),
                 name, "more --memory");
}

/// The highest place that the kernel allows, above the kernel; 0 if the initrd is empty.
std::optional<u64> place_initrd(const FreeMemory& memory, const Target& target, u64 size,
                                const Layout& layout) {
    if (size == 0) return 0;
    const u64 from = target.run.base + target.run.size;
    const u64 end = std::min(layout.low_size, target.initrd_end);
    if (const auto place = memory.highest(size, from, end)) return place;
    if (!target.above_4g) return {};
    return memory.highest(size, high_ram_base, high_ram_base + layout.high_size);
}

/// Finds places for all but the kernel itself, whose ranges are taken from `memory` already.
Expected<Places> place(const Kernel& kernel, const Target& target, FreeMemory& memory,
                       const Layout& layout) {
    const u64 most = std::min<u64>(target.command_line_most, command_line_most);
    if (kernel.command_line.size() > most)
        return error(fmt::format("a command line of {} bytes", kernel.command_line.size()),
                     "--append", fmt::format("at most {} bytes, for this kernel", most));
    const auto boot = memory.lowest(boot_pages * page_size, boot_from, high_ram_base);
    if (!boot)
        return error("the kernel leaves no 36 KiB for the boot structures", kernel.name,
                     "a smaller kernel, or more --memory");
    memory.take({*boot, boot_pages * page_size});
    const auto initrd = place_initrd(memory, target, kernel.initrd.size(), layout);
    if (!initrd)
        return error(fmt::format("{} bytes do not fit in memory above the kernel, which ends at "
                                 "{:#x}",
                                 kernel.initrd.size(), target.run.base + target.run.size),
                     "--initrd", "a smaller file, or more --memory");
    return Places{*boot, *initrd};
}

StartState enter(const Kernel& kernel, const Target& target, const Places& places,
                 const GuestRam& ram, const BootTables& tables) {
    const auto page = [&places](u64 index) { return places.boot + index * page_size; };
    std::memset(ram.at(places.boot), 0, boot_pages * page_size);
    put_identity_map(ram, places.boot);
    const u64 command_line = page(command_line_page);
    std::memcpy(ram.at(command_line), kernel.command_line.data(), kernel.command_line.size());
    put_bytes(ram, places.initrd, kernel.initrd);
    put_boot_parameters(ram, page(zero_page),
                        {target.setup_header, command_line, places.initrd, kernel.initrd.size(),
                         target.load_address},
                        tables);
    StartState start;
    start.rip = target.entry;
    start.rsi = page(zero_page);
    start.cr3 = places.boot;
    put_descriptors(ram, page(gdt_page), boot_cs, code_descriptor_64, start);
    return start;
}

std::optional<Error> check_tables(const BootTables& tables) {
    if (tables.memory.size() <= boot_field::e820_most) return {};
    return Error{fmt::format("a memory map of {} ranges", tables.memory.size()), "--memory",
                 "at most 128 ranges"};
}

/// An unpacked kernel, whose `target` was made from what it came in.
Expected<StartState> load_image(const Kernel& kernel, const Vmlinux& vmlinux, Target target,
                                const GuestRam& ram, const BootTables& tables) {
    const ElfImage& image = vmlinux.image;
    FreeMemory memory{tables.memory};
    if (!memory.has(target.run)) return no_room(target.run, kernel.name);
    for (const ElfSegment& segment : image.segments)
        if (!memory.has({segment.physical, segment.memory_size}))
            return no_room({segment.physical, segment.memory_size}, kernel.name);
    memory.take(target.run);
    for (const ElfSegment& segment : image.segments)
        memory.take({segment.physical, segment.memory_size});
    target.entry = image.entry;
    const auto places = place(kernel, target, memory, ram.layout);
    if (!places) return std::unexpected{places.error()};
    put_segments(image.segments, vmlinux.bytes, ram);
    return enter(kernel, target, *places, ram, tables);
}

}  // namespace

Expected<StartState> load_linux(const Kernel& kernel, const GuestRam& ram,
                                const BootTables& tables) {
    if (auto wrong = check_tables(tables)) return std::unexpected{*wrong};
    const auto vmlinux = open_vmlinux(kernel, ram.layout);
    if (!vmlinux) return std::unexpected{vmlinux.error()};
    const Target target = vmlinux->packed ? target_of(*vmlinux->packed) : target_of(vmlinux->image);
    return load_image(kernel, *vmlinux, target, ram, tables);
}

Expected<StartState> load_decompressor(const Kernel& kernel, const GuestRam& ram,
                                       const BootTables& tables) {
    if (auto wrong = check_tables(tables)) return std::unexpected{*wrong};
    const auto image = parse_bzimage(kernel.file, kernel.name);
    if (!image) return std::unexpected{image.error()};
    if (image->code.size() <= entry_64)
        return error("bzImage whose code ends before its 64-bit entry", kernel.name,
                     "a bzImage for x86-64");
    Target target = target_of(*image);
    target.load_address = image->relocatable ? image->pref_address : unrelocated_address;
    target.entry = target.load_address + entry_64;
    FreeMemory memory{tables.memory};
    const Range code{target.load_address, image->code.size()};
    for (const Range& range : {target.run, code})
        if (!memory.has(range)) return no_room(range, kernel.name);
    memory.take(target.run);
    memory.take(code);
    const auto places = place(kernel, target, memory, ram.layout);
    if (!places) return std::unexpected{places.error()};
    put_bytes(ram, code.base, image->code);
    return enter(kernel, target, *places, ram, tables);
}

}  // namespace postern::platform
