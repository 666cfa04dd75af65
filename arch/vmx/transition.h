// SPDX-License-Identifier: Apache-2.0
// What VM entries and VM exits have in common.
#pragma once

#include "arch/regs/cr0.h"
#include "base/bits.h"

namespace postern {

/// Bits of CR0 that no VM entry and no VM exit changes. SDM 3C, "Loading Guest Control Registers,
/// Debug Registers, and MSRs" and "Loading Host Control Registers, Debug Registers, MSRs".
inline constexpr u64 cr0_kept = ~u64{0xffff'ffff} | Cr0Word{Cr0::et, Cr0::nw, Cr0::cd}.to_raw() |
                                bit_mask(28, 19) | bit_mask(17, 17) | bit_mask(15, 6);

/// CR0 after a transition that loads `loaded`.
constexpr Cr0Word merged_cr0(Cr0Word current, u64 loaded) {
    return Cr0Word::from_raw((current.to_raw() & cr0_kept) | (loaded & ~cr0_kept));
}

}  // namespace postern
