// SPDX-License-Identifier: Apache-2.0
// I/O bitmaps A and B.
#pragma once

#include "base/types.h"

namespace postern {

/// SDM 3C, "I/O-Bitmap Addresses". Ports 0 to 7FFFH are in A, the others in B.
struct IoBitmapBit {
    bool in_b;
    u16 byte;
    u8 bit;

    friend constexpr bool operator==(IoBitmapBit, IoBitmapBit) = default;
};

constexpr IoBitmapBit io_bitmap_bit(u16 port) {
    return {port >= 0x8000, static_cast<u16>((port & 0x7fff) / 8), static_cast<u8>(port % 8)};
}

/// An access that runs past port FFFFH exits whatever the bitmaps say. SDM 3C, "Instructions
/// That Cause VM Exits Conditionally".
constexpr bool io_access_wraps(u16 port, unsigned bytes) { return port + bytes > 0x1'0000; }

}  // namespace postern
