// SPDX-License-Identifier: Apache-2.0
// Program headers and the dynamic section, each access checked against the file's end.
#include "app/exec/elf_needs.h"

#include <elf.h>

#include <algorithm>
#include <cstring>

namespace postern::app::exec {

namespace {

using File = std::span<const u8>;

template <class T>
bool read_at(File file, u64 offset, T& value) {
    if (offset > file.size() || file.size() - offset < sizeof value) return false;
    std::memcpy(&value, file.data() + offset, sizeof value);
    return true;
}

/// Up to its NUL, which must come.
std::optional<std::string> string_at(File file, u64 offset) {
    if (offset >= file.size()) return std::nullopt;
    const auto from = file.begin() + static_cast<std::ptrdiff_t>(offset);
    const auto end = std::find(from, file.end(), u8{0});
    if (end == file.end()) return std::nullopt;
    return std::string{from, end};
}

std::optional<std::vector<Elf64_Phdr>> program_headers(File file, const Elf64_Ehdr& header) {
    std::vector<Elf64_Phdr> segments(header.e_phnum);
    for (u64 n = 0; n < segments.size(); ++n)
        if (!read_at(file, header.e_phoff + n * sizeof(Elf64_Phdr), segments[n]))
            return std::nullopt;
    return segments;
}

/// Where the file holds what is loaded at `address`.
std::optional<u64> offset_of(const std::vector<Elf64_Phdr>& segments, u64 address) {
    for (const Elf64_Phdr& s : segments)
        if (s.p_type == PT_LOAD && address >= s.p_vaddr && address - s.p_vaddr < s.p_filesz)
            return s.p_offset + (address - s.p_vaddr);
    return std::nullopt;
}

/// The DT_NEEDED of the dynamic section `dynamic`.
std::optional<std::vector<std::string>> needed_libraries(File file,
                                                         const std::vector<Elf64_Phdr>& segments,
                                                         const Elf64_Phdr& dynamic) {
    std::vector<u64> names;
    std::optional<u64> strings;
    for (u64 at = 0; at < dynamic.p_filesz; at += sizeof(Elf64_Dyn)) {
        Elf64_Dyn entry{};
        if (!read_at(file, dynamic.p_offset + at, entry)) return std::nullopt;
        if (entry.d_tag == DT_NULL) break;
        if (entry.d_tag == DT_NEEDED) names.push_back(entry.d_un.d_val);
        if (entry.d_tag == DT_STRTAB) strings = offset_of(segments, entry.d_un.d_ptr);
    }
    std::vector<std::string> libraries;
    for (const u64 name : names) {
        const auto text = strings ? string_at(file, *strings + name) : std::nullopt;
        if (!text) return std::nullopt;
        libraries.push_back(*text);
    }
    return libraries;
}

}  // namespace

bool has_elf_magic(File file) {
    return file.size() >= SELFMAG && std::memcmp(file.data(), ELFMAG, SELFMAG) == 0;
}

std::optional<ElfNeeds> elf_needs(File file) {
    Elf64_Ehdr header{};
    if (!has_elf_magic(file) || !read_at(file, 0, header)) return std::nullopt;
    const bool loadable = header.e_type == ET_EXEC || header.e_type == ET_DYN;
    if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != EM_X86_64 || !loadable ||
        header.e_phentsize != sizeof(Elf64_Phdr))
        return std::nullopt;
    const auto segments = program_headers(file, header);
    if (!segments) return std::nullopt;
    ElfNeeds needs;
    for (const Elf64_Phdr& segment : *segments) {
        if (segment.p_type == PT_INTERP) {
            const auto name = string_at(file, segment.p_offset);
            if (!name) return std::nullopt;
            needs.interpreter = *name;
        }
        if (segment.p_type != PT_DYNAMIC) continue;
        auto libraries = needed_libraries(file, *segments, segment);
        if (!libraries) return std::nullopt;
        needs.libraries = std::move(*libraries);
    }
    return needs;
}

}  // namespace postern::app::exec
