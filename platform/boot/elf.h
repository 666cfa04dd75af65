// SPDX-License-Identifier: Apache-2.0
// ELF executables: what an image asks to be loaded where, with everything checked that a broken
// or hostile file could get wrong. Nothing is copied here.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "platform/layout.h"

namespace postern::platform {

struct ElfSegment {
    u64 physical;     // p_paddr
    u64 memory_size;  // bytes in memory; those beyond file_size are zero
    u64 file_offset;
    u64 file_size;
};

/// A PT_NOTE's bytes, all in the file.
struct ElfNotes {
    u64 file_offset;
    u64 file_size;
};

struct ElfImage {
    u64 entry;                         // e_entry, within one of the segments
    std::vector<ElfSegment> segments;  // by rising address, none empty, none overlapping
    std::vector<ElfNotes> notes;

    /// True if a segment has the byte at `physical`.
    [[nodiscard]] bool covers(u64 physical) const;
};

/// True if the file says of itself that it is ELF.
bool is_elf(std::span<const u8> file);
/// The same of ELF32.
bool is_elf32(std::span<const u8> file);

/// Which executables a way of booting takes, and what their entry is.
enum class ElfUse : u8 {
    kernel_64,  // ELF64; e_entry is a physical address
    // ELF32, or ELF64 whose entry is code of 32 bits; e_entry may be the linear address of a
    // segment's byte, and is the physical one in the image.
    multiboot,
};

/// `name` is what errors call the file.
Expected<ElfImage> parse_elf(std::span<const u8> file, const std::string& name,
                             const Layout& layout, ElfUse use = ElfUse::kernel_64);

}  // namespace postern::platform
