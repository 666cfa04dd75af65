// SPDX-License-Identifier: Apache-2.0
// Where a bit lies in the bitmaps that choose which instructions exit.
#pragma once

#include "base/types.h"

namespace postern {

/// A bit of a page. `covered` is false if no bit stands for what was asked.
struct BitmapBit {
    bool covered;
    u16 byte;
    u8 bit;

    friend constexpr bool operator==(BitmapBit, BitmapBit) = default;
};

/// SDM 3C, "MSR-Bitmap Address". An MSR that is not covered exits always.
constexpr BitmapBit msr_bitmap_bit(u32 msr, bool write) {
    constexpr u32 high_base = 0xc000'0000;
    constexpr u32 span = 0x2000;
    const bool high = msr >= high_base;
    const u32 index = high ? msr - high_base : msr;
    if (index >= span) return {false, 0, 0};
    const u32 byte = (write ? 2048u : 0u) + (high ? 1024u : 0u) + index / 8;
    return {true, static_cast<u16>(byte), static_cast<u8>(index % 8)};
}

/// SDM 3C, "VMCS Shadowing Bitmap Addresses". For the VMREAD and the VMWRITE bitmap alike;
/// an encoding with any of bits 63:15 set is not covered and exits.
constexpr BitmapBit vmcs_shadowing_bit(u64 encoding) {
    if (encoding >= 0x8000) return {false, 0, 0};
    return {true, static_cast<u16>(encoding / 8), static_cast<u8>(encoding % 8)};
}

/// The bit that stands for leaf `eax` in the ENCLS-, ENCLV- and PCONFIG-exiting bitmaps: 63 for
/// all leaves above 62. SDM 3C, "ENCLS-Exiting Bitmap".
constexpr unsigned leaf_bitmap_bit(u32 eax) { return eax < 63 ? eax : 63; }

constexpr bool leaf_exits(u64 bitmap, u32 eax) { return (bitmap >> leaf_bitmap_bit(eax) & 1) != 0; }

}  // namespace postern
