// SPDX-License-Identifier: Apache-2.0
// Bit fields by position, high bit first, as the manual writes them.
#pragma once

#include <concepts>

#include "base/types.h"

namespace postern {

/// The mask of bits high:low of a 64-bit word. 63 >= high >= low.
constexpr u64 bit_mask(unsigned high, unsigned low) {
    return (~u64{0} >> (63 - (high - low))) << low;
}

/// Bits high:low of `word`, moved to bit 0.
template <unsigned high, unsigned low>
constexpr u64 bits(u64 word) {
    static_assert(high < 64 && low <= high);
    return (word & bit_mask(high, low)) >> low;
}

template <unsigned position>
constexpr bool bit(u64 word) {
    static_assert(position < 64);
    return (word >> position & 1) != 0;
}

/// `word` with bits high:low replaced by `value`, whose excess bits are dropped.
template <unsigned high, unsigned low>
constexpr u64 with_bits(u64 word, u64 value) {
    return (word & ~bit_mask(high, low)) | (value << low & bit_mask(high, low));
}

template <std::unsigned_integral T>
constexpr bool is_aligned(T value, T alignment) {
    return (value & (alignment - 1)) == 0;
}

template <std::unsigned_integral T>
constexpr T align_down(T value, T alignment) {
    return value & ~(alignment - 1);
}

template <std::unsigned_integral T>
constexpr T align_up(T value, T alignment) {
    return align_down<T>(value + (alignment - 1), alignment);
}

}  // namespace postern
