// SPDX-License-Identifier: Apache-2.0
// Reading of ELF headers. Tool Interface Standard, "Executable and Linking Format (ELF)", with the
// 64-bit layouts of the System V ABI. Those of 32 bits are widened first.
#include "platform/boot/elf.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include <fmt/format.h>

namespace postern::platform {

namespace {

template <class Word>
struct HeaderOf {
    u8 magic[4];
    u8 file_class;
    u8 data;
    u8 identification_version;
    u8 padding[9];
    u16 type;
    u16 machine;
    u32 version;
    Word entry;
    Word program_offset;
    Word section_offset;
    u32 flags;
    u16 header_size;
    u16 program_entry_size;
    u16 program_count;
    u16 section_entry_size;
    u16 section_count;
    u16 section_names;
};
using Header = HeaderOf<u64>;
using Header32 = HeaderOf<u32>;
static_assert(sizeof(Header) == 64 && offsetof(Header, entry) == 24);
static_assert(offsetof(Header, program_entry_size) == 54);
static_assert(sizeof(Header32) == 52 && offsetof(Header32, program_entry_size) == 42);

struct ProgramHeader {
    u32 type;
    u32 flags;
    u64 offset;
    u64 linear;
    u64 physical;
    u64 file_size;
    u64 memory_size;
    u64 alignment;
};
static_assert(sizeof(ProgramHeader) == 56 && offsetof(ProgramHeader, physical) == 24);

struct ProgramHeader32 {
    u32 type;
    u32 offset;
    u32 linear;
    u32 physical;
    u32 file_size;
    u32 memory_size;
    u32 flags;
    u32 alignment;
};
static_assert(sizeof(ProgramHeader32) == 32);

constexpr u8 magic[4] = {0x7f, 'E', 'L', 'F'};
constexpr u8 class_32 = 1;
constexpr u8 class_64 = 2;
constexpr u8 little_endian = 1;
constexpr u16 type_executable = 2;
constexpr u16 type_shared = 3;
constexpr u16 machine_386 = 3;
constexpr u16 machine_x86_64 = 62;
constexpr u32 segment_load = 1;
constexpr u32 segment_interpreter = 3;
constexpr u32 segment_notes = 4;
constexpr u16 most_program_headers = 64;

constexpr const char* right_kernel = "an ELF64 executable for x86-64, linked at fixed addresses";
constexpr const char* right_multiboot = "an ELF executable for x86, linked at fixed addresses";
constexpr const char* right_whole = "the whole file, as the linker wrote it";

template <class T>
T read_at(std::span<const u8> file, u64 offset) {
    T value{};
    std::memcpy(&value, file.data() + offset, sizeof value);
    return value;
}

Header widened(const Header32& header) {
    Header wide{};
    std::memcpy(&wide, &header, offsetof(Header, entry));
    wide.entry = header.entry;
    wide.program_offset = header.program_offset;
    wide.program_entry_size = header.program_entry_size;
    wide.program_count = header.program_count;
    return wide;
}

ProgramHeader widened(const ProgramHeader32& program) {
    return {program.type,     program.flags,     program.offset,      program.linear,
            program.physical, program.file_size, program.memory_size, program.alignment};
}

/// One file while it is read: its bytes, its name, where it is to go.
class Reader {
public:
    Reader(std::span<const u8> file, const std::string& name, const Layout& layout, ElfUse use)
        : file_{file}, name_{name}, layout_{layout}, use_{use} {}

    Expected<ElfImage> read() const {
        if (auto wrong = check_start()) return std::unexpected{*wrong};
        const Header header =
            is_32() ? widened(read_at<Header32>(file_, 0)) : read_at<Header>(file_, 0);
        if (auto wrong = check_header(header)) return std::unexpected{*wrong};
        ElfImage image{header.entry, {}, {}};
        for (unsigned index = 0; index < header.program_count; ++index)
            if (auto wrong = add_segment(header, index, image)) return std::unexpected{*wrong};
        if (auto wrong = check_image(image)) return std::unexpected{*wrong};
        return image;
    }

private:
    using Wrong = std::optional<Error>;

    [[nodiscard]] Wrong wrong(std::string what, const char* right) const {
        return Error{std::move(what), name_, right};
    }

    [[nodiscard]] Wrong check_start() const {
        const size_t count = std::min(file_.size(), sizeof magic);
        if (file_.empty()) return wrong("the file is empty", right_file());
        if (std::memcmp(file_.data(), magic, count) != 0)
            return wrong(fmt::format("not an ELF file (it begins with {:#04x})", file_[0]),
                         right_file());
        const size_t header_size = is_32() ? sizeof(Header32) : sizeof(Header);
        if (file_.size() < header_size)
            return wrong(fmt::format("truncated ELF: {} bytes, the header alone has {}",
                                     file_.size(), header_size),
                         right_whole);
        return {};
    }

    [[nodiscard]] Wrong check_header(const Header& header) const {
        if (header.file_class != class_64 && !is_32())
            return wrong(fmt::format("ELF of class {}, not 2 (64-bit)", header.file_class),
                         right_file());
        if (header.data != little_endian)
            return wrong(fmt::format("ELF of data encoding {}, not 1 (little-endian)", header.data),
                         right_file());
        if (header.machine != (is_32() ? machine_386 : machine_x86_64))
            return wrong(fmt::format("ELF for machine {}, not {}", header.machine,
                                     is_32() ? "3 (80386)" : "62 (x86-64)"),
                         right_file());
        if (header.type != type_executable)
            return wrong(fmt::format("ELF of type {}{}, not 2 (executable)", header.type,
                                     header.type == type_shared ? " (position-independent)" : ""),
                         right_file());
        return check_program_table(header);
    }

    [[nodiscard]] Wrong check_program_table(const Header& header) const {
        if (header.program_count == 0) return wrong("ELF without program headers", right_file());
        if (header.program_entry_size != program_header_size())
            return wrong(fmt::format("ELF with program headers of {} bytes, not {}",
                                     header.program_entry_size, program_header_size()),
                         right_file());
        if (header.program_count > most_program_headers)
            return wrong(fmt::format("ELF with {} program headers", header.program_count),
                         "an executable with at most 64");
        const u64 size = header.program_count * program_header_size();
        if (!in_file(header.program_offset, size))
            return wrong(fmt::format("truncated ELF: {} program headers at {:#x}, the file ends "
                                     "at {:#x}",
                                     header.program_count, header.program_offset, file_.size()),
                         right_whole);
        return {};
    }

    [[nodiscard]] Wrong add_segment(const Header& header, unsigned index, ElfImage& image) const {
        const u64 at = header.program_offset + index * program_header_size();
        const ProgramHeader program = is_32() ? widened(read_at<ProgramHeader32>(file_, at))
                                              : read_at<ProgramHeader>(file_, at);
        if (program.type == segment_interpreter)
            return wrong("dynamically linked ELF", right_file());
        if (program.type == segment_notes) return add_notes(program, index, image);
        if (program.type != segment_load || program.memory_size == 0) return {};
        if (auto bad = check_segment(program, index)) return bad;
        if (use_ == ElfUse::multiboot && header.entry - program.linear < program.memory_size)
            image.entry = header.entry - program.linear + program.physical;
        image.segments.push_back(
            {program.physical, program.memory_size, program.offset, program.file_size});
        return {};
    }

    [[nodiscard]] Wrong add_notes(const ProgramHeader& program, unsigned index,
                                  ElfImage& image) const {
        if (!in_file(program.offset, program.file_size))
            return wrong(fmt::format("truncated ELF: notes {} are {:#x} bytes at {:#x}, the file "
                                     "ends at {:#x}",
                                     index, program.file_size, program.offset, file_.size()),
                         right_whole);
        image.notes.push_back({program.offset, program.file_size});
        return {};
    }

    [[nodiscard]] Wrong check_segment(const ProgramHeader& program, unsigned index) const {
        if (program.file_size > program.memory_size)
            return wrong(fmt::format("ELF segment {} has {:#x} bytes in the file but {:#x} in "
                                     "memory",
                                     index, program.file_size, program.memory_size),
                         right_file());
        if (!in_file(program.offset, program.file_size))
            return wrong(fmt::format("truncated ELF: segment {} is {:#x} bytes at {:#x}, the file "
                                     "ends at {:#x}",
                                     index, program.file_size, program.offset, file_.size()),
                         right_whole);
        if (!layout_.is_ram(program.physical, program.memory_size))
            return wrong(fmt::format("ELF segment {} of {:#x} bytes at {:#x} lies outside memory",
                                     index, program.memory_size, program.physical),
                         "addresses in memory, or more --memory");
        return {};
    }

    [[nodiscard]] Wrong check_image(ElfImage& image) const {
        if (image.segments.empty()) return wrong("ELF with nothing to load", right_file());
        std::ranges::sort(image.segments, {}, &ElfSegment::physical);
        for (size_t i = 1; i < image.segments.size(); ++i) {
            const ElfSegment& below = image.segments[i - 1];
            const ElfSegment& above = image.segments[i];
            if (below.physical + below.memory_size > above.physical)
                return wrong(fmt::format("ELF segments at {:#x} and {:#x} overlap", below.physical,
                                         above.physical),
                             right_file());
        }
        if (!image.covers(image.entry) || image.entry >= high_ram_base)
            return wrong(fmt::format("ELF entry {:#x} is in no segment below 4 GiB", image.entry),
                         "an entry address that is a physical one");
        return {};
    }

    [[nodiscard]] bool in_file(u64 offset, u64 size) const {
        return offset <= file_.size() && size <= file_.size() - offset;
    }

    /// Only where such files are taken; elsewhere their class is what is wrong.
    [[nodiscard]] bool is_32() const { return use_ == ElfUse::multiboot && is_elf32(file_); }
    [[nodiscard]] u64 program_header_size() const {
        return is_32() ? sizeof(ProgramHeader32) : sizeof(ProgramHeader);
    }
    [[nodiscard]] const char* right_file() const {
        return use_ == ElfUse::multiboot ? right_multiboot : right_kernel;
    }

    std::span<const u8> file_;
    const std::string& name_;
    const Layout& layout_;
    ElfUse use_;
};

}  // namespace

bool ElfImage::covers(u64 physical) const {
    return std::ranges::any_of(segments, [&](const ElfSegment& segment) {
        return physical - segment.physical < segment.memory_size;
    });
}

bool is_elf(std::span<const u8> file) {
    return file.size() >= sizeof magic && std::memcmp(file.data(), magic, sizeof magic) == 0;
}

bool is_elf32(std::span<const u8> file) {
    constexpr size_t place = offsetof(Header, file_class);
    return is_elf(file) && file.size() > place && file[place] == class_32;
}

Expected<ElfImage> parse_elf(std::span<const u8> file, const std::string& name,
                             const Layout& layout, ElfUse use) {
    return Reader{file, name, layout, use}.read();
}

}  // namespace postern::platform
