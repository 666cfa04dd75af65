// SPDX-License-Identifier: Apache-2.0
// The general-purpose registers, numbered as instruction encodings number them.
#pragma once

#include <array>
#include <string_view>

#include "base/types.h"

namespace postern {

/// SDM 2A, "Instruction Format". Unscoped: these are array indices.
enum Gpr : u8 { rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15 };

inline constexpr unsigned gpr_count = 16;

inline constexpr std::array<std::string_view, gpr_count> gpr_names{
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
    "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};

constexpr std::string_view name_of(Gpr gpr) { return gpr_names[gpr]; }

}  // namespace postern
