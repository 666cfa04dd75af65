// SPDX-License-Identifier: Apache-2.0
// What CPUID answers: the model's features, the machine's numbers, and the few bits that follow
// the registers.
#pragma once

#include "cpu/cpu.h"

namespace postern::cpu {

struct CpuidResult {
    u32 eax, ebx, ecx, edx;
    friend constexpr bool operator==(const CpuidResult&, const CpuidResult&) = default;
};

/// SDM 2A, "CPUID". A leaf above the highest answers as the highest basic leaf does.
CpuidResult cpuid(const Cpu& c, u32 leaf, u32 subleaf);

inline constexpr u32 highest_basic_leaf = 0x16;
inline constexpr u32 highest_extended_leaf = 0x8000'0008;

}  // namespace postern::cpu
