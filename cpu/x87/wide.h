// SPDX-License-Identifier: Apache-2.0
// Numbers with 128-bit significands, in integers: what results that the host must not decide are
// computed with. Operations truncate; each is off by less than two units in the last place.
#pragma once

#include <bit>

#include "base/types.h"

namespace postern::cpu {

__extension__ typedef unsigned __int128 u128;  // NOLINT: __extension__ takes no alias

constexpr u128 join(u64 high, u64 low) { return u128{high} << 64 | low; }
constexpr unsigned leading_zeros(u128 v) {
    const auto high = static_cast<u64>(v >> 64);
    return static_cast<unsigned>(high != 0 ? std::countl_zero(high)
                                           : 64 + std::countl_zero(static_cast<u64>(v)));
}

/// The upper half of a 256-bit product.
constexpr u128 multiply_high(u128 a, u128 b) {
    const u128 a1 = a >> 64, a0 = static_cast<u64>(a), b1 = b >> 64, b0 = static_cast<u64>(b);
    const u128 low = (a0 * b0 >> 64) + static_cast<u64>(a0 * b1) + static_cast<u64>(a1 * b0);
    return a1 * b1 + (a0 * b1 >> 64) + (a1 * b0 >> 64) + (low >> 64);
}

/// significand * 2^(exponent - 127), negated if `negative`; the top bit is set, or it is zero.
struct Wide {
    u128 significand;
    i32 exponent;
    bool negative;

    [[nodiscard]] constexpr bool is_zero() const { return significand == 0; }
};

constexpr Wide normalised(u128 significand, i32 exponent, bool negative) {
    if (significand == 0) return {0, 0, negative};
    const unsigned shift = leading_zeros(significand);
    return {significand << shift, exponent - static_cast<i32>(shift), negative};
}
constexpr Wide from_integer(u64 value) { return normalised(value, 127, false); }
constexpr Wide negated(Wide a) { return {a.significand, a.exponent, !a.negative}; }
constexpr Wide magnitude(Wide a) { return {a.significand, a.exponent, false}; }
/// a * 2^power
constexpr Wide scaled(Wide a, i32 power) { return {a.significand, a.exponent + power, a.negative}; }

constexpr Wide operator*(Wide a, Wide b) {
    return normalised(multiply_high(a.significand, b.significand), a.exponent + b.exponent + 1,
                      a.negative != b.negative);
}

/// Is the magnitude of a below that of b?
constexpr bool is_smaller(Wide a, Wide b) {
    if (a.is_zero() || b.is_zero()) return !b.is_zero() && a.is_zero();
    return a.exponent != b.exponent ? a.exponent < b.exponent : a.significand < b.significand;
}

constexpr Wide operator+(Wide a, Wide b) {
    if (is_smaller(a, b)) return b + a;
    if (b.is_zero()) return a;
    const auto distance = static_cast<unsigned>(a.exponent - b.exponent);
    const u128 aligned = distance < 128 ? b.significand >> distance : 0;
    if (a.negative != b.negative)
        return normalised(a.significand - aligned, a.exponent, a.negative);
    const u128 sum = a.significand + aligned;
    if (sum >= a.significand) return {sum, a.exponent, a.negative};
    return {sum >> 1 | u128{1} << 127, a.exponent + 1, a.negative};
}
constexpr Wide operator-(Wide a, Wide b) { return a + negated(b); }

/// By long division. A remainder leaves the last bit set, so that only exact quotients look so.
constexpr Wide operator/(Wide a, Wide b) {
    if (a.is_zero()) return {0, 0, a.negative != b.negative};
    u128 rest = a.significand, quotient = 0;
    i32 exponent = a.exponent - b.exponent;
    bool carry = false;
    const auto twice = [&] {
        carry = rest >> 127 != 0;
        rest <<= 1;
    };
    if (rest < b.significand) {
        twice();
        --exponent;
    }
    for (unsigned n = 0; n < 128; ++n) {
        quotient <<= 1;
        if (carry || rest >= b.significand) {
            rest -= b.significand;
            quotient |= 1;
        }
        twice();
    }
    if (rest != 0 || carry) quotient |= 1;
    return {quotient, exponent, a.negative != b.negative};
}

/// |a| below 1 as a fraction of 2^128.
constexpr u128 to_fraction(Wide a) {
    const auto shift = static_cast<unsigned>(-1 - a.exponent);
    return shift < 128 ? a.significand >> shift : 0;
}
/// a * (1 + f) and a * (1 - f), f a fraction of 2^128; not exactly a even where f is too small to
/// be seen.
constexpr Wide increased(Wide a, u128 f) {
    const u128 sum = a.significand + multiply_high(a.significand, f);
    if (sum >= a.significand) return {sum | 1, a.exponent, a.negative};
    return {sum >> 1 | u128{1} << 127 | 1, a.exponent + 1, a.negative};
}
constexpr Wide decreased(Wide a, u128 f) {
    const u128 less = multiply_high(a.significand, f);
    return normalised(a.significand - (less != 0 ? less : 1), a.exponent, a.negative);
}

}  // namespace postern::cpu
