// SPDX-License-Identifier: Apache-2.0
// From what a register or a structure holds to a linear address: the rule for memory operands of
// ENCLS. Every failure is #GP(0).
#pragma once

#include "arch/paging.h"
#include "arch/regs/segment.h"
#include "base/address.h"
#include "base/bits.h"
#include "base/result.h"

namespace postern::hv {

struct OperandRules {
    bool mode64 = true;         // CS.L and IA32_EFER.LMA: without CS.L there is a DS
    unsigned linear_bits = 48;  // 57 with CR4.LA57
    Segment ds{};               // of any mode but that
};

/// Of an effective address within DS. SDM 3D, "ENCLS" (segment overrides and address size are
/// ignored, and outside 64-bit mode addresses have 32 bits whatever CS.D says); SDM 3A, "Limit
/// Checking". A segment that may be read and grows upwards, with all bytes within its limit: the
/// sums are of 64 bits, so that no limit is too large for them.
constexpr Result<Gva> operand_linear(const OperandRules& rules, u64 effective, u64 size,
                                     u64 alignment) {
    if (rules.mode64) {
        const bool legal = is_aligned(effective, alignment) &&
                           is_canonical(effective, rules.linear_bits) &&
                           is_canonical(effective + (size - 1), rules.linear_bits);
        if (!legal) return Failed{};
        return Gva{effective};
    }
    const Segment& ds = rules.ds;
    const u64 offset = static_cast<u32>(effective);
    if (ds.unusable() || !ds.readable() || ds.expand_down()) return Failed{};
    if (offset + (size - 1) > ds.limit) return Failed{};
    const Gva linear{static_cast<u32>(ds.base + offset)};
    if (!is_aligned(linear.raw(), alignment)) return Failed{};
    return linear;
}

}  // namespace postern::hv
