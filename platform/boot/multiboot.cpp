// SPDX-License-Identifier: Apache-2.0
// Finding the header, checking what it asks for, placing kernel, modules and boot information.
// Free Software Foundation, "Multiboot Specification version 0.6.96".
#include "platform/boot/multiboot.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "base/bits.h"
#include "base/version.h"
#include "platform/boot/free_memory.h"
#include "platform/boot/payload.h"
#include "platform/boot/structures.h"

namespace postern::platform {

namespace {

constexpr u64 searched_bytes = 8192;
constexpr u64 header_alignment = 4;
constexpr u64 least_header = offsetof(MultibootHeader, header_address);

constexpr u32 flag_video_mode = 1u << 2;
constexpr u32 flag_addresses = 1u << 16;
/// Modules are always at pages' addresses, and the memory map is always there.
constexpr u32 supported_demands = 0b11;
constexpr u32 demands = 0xffff;

constexpr u16 code_selector = 0x08;
constexpr u64 boot_from = 0x1'0000;  // above what real-mode firmware uses

constexpr const char* right_header =
    "a kernel with a Multiboot 1 header in its first 8192 bytes; another --boot";
constexpr const char* right_addresses = "addresses in the header that go with the file's size";

MultibootHeader header_at(std::span<const u8> file, u64 offset) {
    MultibootHeader header{};
    std::memcpy(&header, file.data() + offset, std::min<u64>(sizeof header, file.size() - offset));
    return header;
}

bool is_whole(const MultibootHeader& header, std::span<const u8> file, u64 offset) {
    return (header.flags & flag_addresses) == 0 || file.size() - offset >= sizeof header;
}

/// A kernel's bytes, unpacked where they were packed.
struct Image {
    Unpacked unpacked;
    std::span<const u8> bytes;
    ElfImage loads;
};

/// One file while it is checked.
class Reader {
public:
    Reader(std::span<const u8> file, const std::string& name, const Layout& layout)
        : file_{file}, name_{name}, layout_{layout} {}

    [[nodiscard]] Expected<ElfImage> read() const {
        const auto found = find_multiboot_header(file_);
        if (!found) return no_header();
        const u32 unknown = found->header.flags & demands & ~supported_demands;
        if (unknown != 0) return refused_demands(unknown);
        if ((found->header.flags & flag_addresses) == 0)
            return parse_elf(file_, name_, layout_, ElfUse::multiboot);
        return by_addresses(*found);
    }

private:
    [[nodiscard]] std::unexpected<Error> wrong(std::string what, const char* right) const {
        return error(std::move(what), name_, right);
    }

    /// Something that begins like one is named, for whoever wrote it.
    [[nodiscard]] std::unexpected<Error> no_header() const {
        if (file_.empty()) return wrong("the file is empty", right_header);
        for (u64 at = 0; at + least_header <= std::min<u64>(file_.size(), searched_bytes);
             at += header_alignment) {
            const MultibootHeader header = header_at(file_, at);
            if (header.magic != multiboot_header_magic) continue;
            const u32 sum = header.magic + header.flags + header.checksum;
            if (sum != 0)
                return wrong(fmt::format("Multiboot header at {:#x} with a wrong checksum (magic, "
                                         "flags and checksum add up to {:#x})",
                                         at, sum),
                             "a sum of 0");
            return wrong(fmt::format("truncated Multiboot header at {:#x}: the file ends at {:#x}",
                                     at, file_.size()),
                         "the whole file, as the linker wrote it");
        }
        return wrong("no Multiboot header", right_header);
    }

    [[nodiscard]] std::unexpected<Error> refused_demands(u32 unknown) const {
        const bool video = (unknown & flag_video_mode) != 0;
        return wrong(fmt::format("Multiboot header that demands {} (flags {:#x})",
                                 video ? "a video mode" : "what is not known", unknown),
                     "a kernel that demands no more than flags 0 and 1");
    }

    [[nodiscard]] Expected<ElfImage> by_addresses(const FoundMultibootHeader& found) const {
        const MultibootHeader& h = found.header;
        const u64 before = u64{h.header_address} - h.load_address;
        if (h.header_address < h.load_address || before > found.offset)
            return wrong(fmt::format("Multiboot header at {:#x} of the file whose address {:#x} "
                                     "does not go with the load address {:#x}",
                                     found.offset, h.header_address, h.load_address),
                         right_addresses);
        const u64 offset = found.offset - before;
        const u64 rest = file_.size() - offset;
        const u64 load_end = h.load_end != 0 ? h.load_end : h.load_address + rest;
        const u64 end = h.bss_end != 0 ? h.bss_end : load_end;
        if (load_end <= h.load_address || end < load_end)
            return wrong(fmt::format("Multiboot addresses out of order: loaded from {:#x} to "
                                     "{:#x}, ends at {:#x}",
                                     h.load_address, load_end, end),
                         right_addresses);
        if (load_end - h.load_address > rest)
            return wrong(fmt::format("truncated file: {:#x} bytes are to be loaded from {:#x} on, "
                                     "it ends at {:#x}",
                                     load_end - h.load_address, offset, file_.size()),
                         right_addresses);
        return placed({h.load_address, end - h.load_address, offset, load_end - h.load_address},
                      h.entry);
    }

    [[nodiscard]] Expected<ElfImage> placed(const ElfSegment& load, u64 entry) const {
        if (!layout_.is_ram(load.physical, load.memory_size))
            return wrong(fmt::format("{:#x} bytes at {:#x} lie outside memory", load.memory_size,
                                     load.physical),
                         "addresses in memory, or more --memory");
        ElfImage image{entry, {load}, {}};
        if (!image.covers(entry))
            return wrong(fmt::format("Multiboot entry {:#x} is not in what is loaded", entry),
                         right_addresses);
        return image;
    }

    std::span<const u8> file_;
    const std::string& name_;
    const Layout& layout_;
};

Expected<Image> open_image(const Kernel& kernel, const Layout& layout) {
    Image image;
    image.bytes = kernel.file;
    std::string name = kernel.name;
    if (is_gzip(kernel.file)) {
        auto unpacked = unpack_gzip_file(kernel.file, layout.ram_size(), kernel.name);
        if (!unpacked) return std::unexpected{unpacked.error()};
        image.unpacked = std::move(*unpacked);
        image.bytes = image.unpacked.bytes();
        name += " (unpacked)";
    }
    auto loads = Reader{image.bytes, name, layout}.read();
    if (!loads) return std::unexpected{loads.error()};
    image.loads = std::move(*loads);
    return image;
}

/// The boot information: a stretch of RAM that fills up.
class InfoArea {
public:
    InfoArea(const GuestRam& ram, u64 base) : ram_{ram}, next_{base} {}

    u32 reserve(u64 size) {
        const u64 at = next_;
        next_ += align_up(size, u64{8});
        return static_cast<u32>(at);
    }
    u32 add_text(std::string_view text) {
        const u32 at = reserve(text.size() + 1);
        std::memcpy(ram_.at(at), text.data(), text.size());
        return at;
    }

private:
    const GuestRam& ram_;
    u64 next_;
};

constexpr u64 descriptors_size = 24;

std::string command_line_of(const Kernel& kernel) {
    return kernel.command_line.empty() ? kernel.name : kernel.name + " " + kernel.command_line;
}

u64 area_size(const Kernel& kernel, const BootTables& tables) {
    constexpr u64 roundings = 8 * 8;
    u64 size = sizeof(MultibootInfo) + descriptors_size + roundings +
               tables.memory.size() * sizeof(MultibootMemoryRange) +
               command_line_of(kernel).size() + std::strlen(version);
    for (const Module& module : kernel.modules)
        size += sizeof(MultibootModule) + align_up(module.command_line.size() + 1, u64{8});
    return align_up(size + page_size, page_size);
}

struct Places {
    u64 area;
    std::vector<u64> modules;
};

Expected<Places> place(const Kernel& kernel, const ElfImage& loads, const BootTables& tables) {
    FreeMemory memory{tables.memory};
    u64 kernel_end = mib;
    for (const ElfSegment& load : loads.segments)
        if (!memory.has({load.physical, load.memory_size}))
            return error(fmt::format("the kernel needs memory from {:#x} to {:#x}", load.physical,
                                     load.physical + load.memory_size),
                         kernel.name, "more --memory");
    for (const ElfSegment& load : loads.segments) {
        memory.take({load.physical, load.memory_size});
        kernel_end = std::max(kernel_end, load.physical + load.memory_size);
    }
    const u64 size = area_size(kernel, tables);
    const auto area = memory.lowest(size, boot_from, high_ram_base);
    if (!area)
        return error(
            fmt::format("the kernel leaves no {} KiB for the boot information", size / kib),
            kernel.name, "a smaller kernel, or more --memory");
    memory.take({*area, size});
    Places places{*area, {}};
    for (const Module& module : kernel.modules) {
        const auto at = memory.lowest(module.bytes.size(), kernel_end, high_ram_base);
        if (!at)
            return error(fmt::format("{} bytes do not fit in memory above the kernel, which ends "
                                     "at {:#x}",
                                     module.bytes.size(), kernel_end),
                         module.name, "a smaller file, or more --memory");
        if (!module.bytes.empty()) memory.take({*at, module.bytes.size()});
        places.modules.push_back(*at);
    }
    return places;
}

u32 put_memory_map(const GuestRam& ram, InfoArea& area, const std::vector<MemoryRange>& memory) {
    const u32 base = area.reserve(memory.size() * sizeof(MultibootMemoryRange));
    u64 at = base;
    for (const MemoryRange& range : memory) {
        const MultibootMemoryRange entry{sizeof entry - sizeof entry.size, range.base, range.size,
                                         static_cast<u32>(range.kind)};
        put(ram, at, entry);
        at += sizeof entry;
    }
    return base;
}

u32 put_modules(const GuestRam& ram, InfoArea& area, const Kernel& kernel, const Places& places) {
    const u32 base = area.reserve(kernel.modules.size() * sizeof(MultibootModule));
    for (size_t n = 0; n < kernel.modules.size(); ++n) {
        const Module& module = kernel.modules[n];
        const u64 start = places.modules[n];
        put_bytes(ram, start, module.bytes);
        put(ram, base + n * sizeof(MultibootModule),
            MultibootModule{static_cast<u32>(start), static_cast<u32>(start + module.bytes.size()),
                            area.add_text(module.command_line), 0});
    }
    return base;
}

void put_info(const GuestRam& ram, InfoArea& area, const Kernel& kernel, const Places& places,
              const BootTables& tables) {
    MultibootInfo info{};
    const u32 base = area.reserve(sizeof info);
    info.flags = multiboot_has_memory | multiboot_has_command_line | multiboot_has_modules |
                 multiboot_has_memory_map | multiboot_has_loader_name;
    info.memory_lower = static_cast<u32>(conventional_memory_end / kib);
    info.memory_upper = static_cast<u32>((ram.layout.low_size - mib) / kib);
    info.memory_map = put_memory_map(ram, area, tables.memory);
    info.memory_map_size = static_cast<u32>(tables.memory.size() * sizeof(MultibootMemoryRange));
    info.module_count = static_cast<u32>(kernel.modules.size());
    info.modules = put_modules(ram, area, kernel, places);
    info.command_line = area.add_text(command_line_of(kernel));
    info.loader_name = area.add_text(fmt::format("Postern {}", version));
    put(ram, base, info);
}

}  // namespace

std::optional<FoundMultibootHeader> find_multiboot_header(std::span<const u8> file) {
    const std::span<const u8> searched = file.first(std::min<u64>(file.size(), searched_bytes));
    for (u64 at = 0; at + least_header <= searched.size(); at += header_alignment) {
        const MultibootHeader header = header_at(searched, at);
        if (header.magic != multiboot_header_magic) continue;
        if (header.magic + header.flags + header.checksum != 0) continue;
        if (is_whole(header, searched, at)) return FoundMultibootHeader{at, header};
    }
    return {};
}

Expected<StartState> load_multiboot(const Kernel& kernel, const GuestRam& ram,
                                    const BootTables& tables) {
    const auto image = open_image(kernel, ram.layout);
    if (!image) return std::unexpected{image.error()};
    const auto places = place(kernel, image->loads, tables);
    if (!places) return std::unexpected{places.error()};
    put_segments(image->loads.segments, image->bytes, ram);
    std::memset(ram.at(places->area), 0, area_size(kernel, tables));
    InfoArea area{ram, places->area};
    put_info(ram, area, kernel, *places, tables);
    StartState start;
    start.mode = StartMode::protected_32;
    start.rip = image->loads.entry;
    start.rax = multiboot_loader_magic;
    start.rbx = places->area;
    put_descriptors(ram, area.reserve(descriptors_size), code_selector, code_descriptor_32, start);
    return start;
}

}  // namespace postern::platform
