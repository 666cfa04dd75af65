// SPDX-License-Identifier: Apache-2.0
// Rounding. Whether a result is tiny is judged after rounding it as if exponents had no end.
#include "cpu/x87/extended.h"

#include <algorithm>

#include "cpu/x87/unit.h"

namespace postern::cpu {
namespace {

enum Rounding : u8 { nearest_even, down, up, to_zero };

constexpr i32 wrap_around = 24576;  // of exponents, where an exception is unmasked
constexpr i32 largest_exponent = 0x7ffe;

Rounding rounding_of(u16 fcw) { return static_cast<Rounding>(fcw >> 10 & 3); }

bool rounds_away(u128 kept, u128 dropped, u128 half, Rounding rounding, bool negative) {
    switch (rounding) {
        case nearest_even: return dropped > half || (dropped == half && (kept & 1) != 0);
        case down: return dropped != 0 && negative;
        case up: return dropped != 0 && !negative;
        case to_zero: return false;
    }
    return false;
}

struct Significand {
    u64 bits;
    bool carried;  // into the next exponent; bits is the integer bit alone
    bool inexact;
    bool up;
};

/// The significand without its last `shift` bits, 64 to 127.
Significand cut(const Wide& v, unsigned shift, Rounding rounding) {
    const u128 kept = v.significand >> shift;
    const u128 dropped = v.significand & ((u128{1} << shift) - 1);
    const bool away = rounds_away(kept, dropped, u128{1} << (shift - 1), rounding, v.negative);
    const u128 sum = kept + (away ? 1 : 0);
    const bool carried = sum >> 64 != 0;
    return {carried ? integer_bit : static_cast<u64>(sum), carried, dropped != 0, away};
}

u16 with_sign(i32 exponent, bool negative) {
    return static_cast<u16>(static_cast<u32>(exponent) | u32{negative} << 15);
}

Rounded overflowed(bool negative, Rounding rounding) {
    constexpr u16 flags = x87_oe | x87_pe;
    const bool away =
        rounding == nearest_even || (rounding == up && !negative) || (rounding == down && negative);
    if (away) return {extended_infinity(negative), flags, true};
    return {{~u64{0}, with_sign(largest_exponent, negative)}, flags, false};
}

/// Below the smallest normal number, underflow masked. `exponent` is biased, at most 0.
Rounded denormalised(const Wide& v, i32 exponent, Rounding rounding) {
    const i32 wanted = 65 - exponent;
    // Everything that is further down than the first bit behind looks the same to rounding.
    Wide low = v;
    if (wanted == 128) low.significand = v.significand >> 1 | (v.significand & 1);
    if (wanted > 128) low.significand = 1;
    const Significand s = cut(low, static_cast<unsigned>(std::min(wanted, 127)), rounding);
    const u16 flags = s.inexact ? x87_ue | x87_pe : 0;
    const bool is_normal = (s.bits & integer_bit) != 0;
    return {{s.bits, with_sign(is_normal ? 1 : 0, v.negative)}, flags, s.up};
}

}  // namespace

Rounded round_to_extended(Wide v, u16 fcw) {
    if (v.is_zero()) return {extended_zero(v.negative), 0, false};
    const Rounding rounding = rounding_of(fcw);
    const Significand s = cut(v, 64, rounding);
    i32 exponent = v.exponent + exponent_bias + (s.carried ? 1 : 0);
    auto flags = static_cast<u16>(s.inexact ? x87_pe : 0);
    if (exponent > largest_exponent) {
        if ((fcw & x87_oe) != 0) return overflowed(v.negative, rounding);
        exponent -= wrap_around;
        flags |= x87_oe;
    } else if (exponent <= 0) {
        if ((fcw & x87_ue) != 0) return denormalised(v, v.exponent + exponent_bias, rounding);
        exponent += wrap_around;
        flags |= x87_ue;
    }
    return {{s.bits, with_sign(exponent, v.negative)}, flags, s.up};
}

}  // namespace postern::cpu
