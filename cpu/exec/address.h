// SPDX-License-Identifier: Apache-2.0
// Effective and linear addresses of a decoded memory operand (64-bit mode).
#pragma once

#include "base/address.h"
#include "cpu/cpu.h"

namespace postern::cpu {

/// Offset within the segment; what LEA computes.
inline u64 effective_address(const Cpu& c, const Insn& i) {
    const u64 a = c.gpr[i.base] + (c.gpr[i.index] << i.scale) + static_cast<u64>(i64{i.disp});
    return (i.form & form_address32) != 0 ? static_cast<u32>(a) : a;
}

inline Gva linear_address(const Cpu& c, const Insn& i) {
    return Gva{effective_address(c, i) + c.gpr[i.segment]};
}

/// A canonical address of the current paging mode: bits 63:47 (63:56 with LA57) all equal.
inline bool is_canonical(const Cpu& c, u64 linear) {
    const unsigned unused = c.cr4.has(Cr4::la57) ? 7 : 16;
    return static_cast<u64>(static_cast<i64>(linear << unused) >> unused) == linear;
}

}  // namespace postern::cpu
