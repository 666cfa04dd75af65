// SPDX-License-Identifier: Apache-2.0
// What an ELF file says it needs to run: its interpreter and its shared libraries. System V ABI,
// "Program Loading and Dynamic Linking".
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/types.h"

namespace postern::app::exec {

struct ElfNeeds {
    std::string interpreter;             // PT_INTERP; empty: statically linked, or a library
    std::vector<std::string> libraries;  // DT_NEEDED
};

bool has_elf_magic(std::span<const u8> file);

/// Nothing: not an ELF file for x86-64 that can be loaded, or one whose tables lead out of it.
std::optional<ElfNeeds> elf_needs(std::span<const u8> file);

}  // namespace postern::app::exec
