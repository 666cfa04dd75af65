// SPDX-License-Identifier: Apache-2.0
// Power series over a short interval about zero, evaluated in fractions of 2^128.
#include "cpu/x87/functions.h"

#include <array>

namespace postern::cpu {
namespace {

/// Intel's pi: 66 bits, here in units of 2^-66; half of it in units of 2^-67.
constexpr u128 right_angle = join(0xc, 0x90fd'aa22'168c'234c);
constexpr i32 right_angle_unit = -67;

constexpr Wide ln2{join(0xb172'17f7'd1cf'79ab, 0xc9e3'b398'03f2'f6af), -1, false};
constexpr Wide two_by_ln2{join(0xb8aa'3b29'5c17'f0bb, 0xbe87'fed0'691d'3e89), 1, false};
constexpr Wide sqrt_half_above{join(0xb504'f333'f9de'6485, 0), -1, false};

/// atan(n / 8)
constexpr std::array<Wide, 9> arc_tangents{
    Wide{0, 0, false},
    Wide{join(0xfead'd4d5'617b'6e32, 0xc897'989f'3e88'8ef8), -4, false},
    Wide{join(0xfadb'afc9'6406'eb15, 0x6dc7'9ef5'f7a2'17e6), -3, false},
    Wide{join(0xb7b0'ca0f'26f7'8473, 0x8aa3'2122'dcfe'4483), -2, false},
    Wide{join(0xed63'382b'0dda'7b45, 0x6fe4'45ec'bc3a'8d03), -2, false},
    Wide{join(0x8f00'5d5e'f7f5'9f9b, 0x5c83'5e16'65c4'3748), -1, false},
    Wide{join(0xa4bc'7d19'34f7'0924, 0x19a8'7f2a'457d'ac9f), -1, false},
    Wide{join(0xb805'3e2b'c231'9e73, 0xcb2d'a552'10a4'443d), -1, false},
    Wide{join(0xc90f'daa2'2168'c234, 0xc4c6'628b'80dc'1cd1), -1, false},
};

/// 1 - z/(a(a+1)) + z^2/(a(a+1)(a+2)(a+3)) - ... as its difference from 1.
u128 alternating(u128 z, unsigned first) {
    constexpr unsigned terms = 18;
    u128 difference = 0;
    for (unsigned n = terms; n-- > 0;) {
        const unsigned a = first + 2 * n;
        const u128 term = z / (a * (a + 1));
        difference = term - multiply_high(term, difference);
    }
    return difference;
}

/// z/3 + z^2/5 + z^3/7 + ..., z at most 1/32; or with alternating signs.
u128 odd_reciprocals(u128 z, bool is_alternating) {
    constexpr unsigned terms = 28;
    u128 sum = 0;
    for (unsigned n = terms; n > 0; --n) {
        const u128 reciprocal = ~u128{0} / (2 * n + 1);
        sum = multiply_high(z, is_alternating ? reciprocal - sum : reciprocal + sum);
    }
    return sum;
}

/// |x| at most 1/16, not zero.
Wide small_arc_tangent(Wide x) { return decreased(x, odd_reciprocals(to_fraction(x * x), true)); }

/// 0 < x <= 1
Wide first_octant(Wide x) {
    // The nearest eighth c: atan x = atan c + atan((x - c) / (1 + x c)).
    const u128 sixteenths = to_fraction(scaled(x, -1)) >> 123;  // of x, rounded down
    const u64 nearest = (static_cast<u64>(sixteenths) + 1) / 2;
    if (nearest == 0) return small_arc_tangent(x);
    const Wide c = scaled(from_integer(nearest), -3);
    const Wide rest = (x - c) / (from_integer(1) + x * c);
    return rest.is_zero() ? arc_tangents[nearest] : arc_tangents[nearest] + small_arc_tangent(rest);
}

/// log2 of (1 + s) / (1 - s), |s| below 0.172.
Wide logarithm_of_ratio(Wide s) {
    if (s.is_zero()) return s;
    return increased(s, odd_reciprocals(to_fraction(s * s), false)) * two_by_ln2;
}

}  // namespace

Angle reduced(Wide x) {
    if (x.exponent < -1) return {0, x};  // below 1/2
    // x is a whole number of units times 2^place, or a whole number of units.
    const i32 place = x.exponent - 63 - right_angle_unit;
    u128 rest = x.significand >> 64;
    unsigned quotient = 0;
    for (i32 n = 0; n <= place; ++n) {
        quotient <<= 1;
        // The first round takes the significand as it is; it is below 16 right angles then.
        if (n != 0) rest <<= 1;
        while (rest >= right_angle) {
            rest -= right_angle;
            ++quotient;
        }
    }
    const bool above_half = rest > right_angle / 2;
    if (above_half) {
        ++quotient;
        rest = right_angle - rest;
    }
    return {(x.negative ? 0 - quotient : quotient) & 3,
            normalised(rest, 127 + right_angle_unit, x.negative != above_half)};
}

Wide sine(Wide x) { return decreased(x, alternating(to_fraction(x * x), 2)); }

Wide cosine(Wide x) {
    const u128 difference = alternating(to_fraction(x * x), 1);
    return normalised(0 - (difference != 0 ? difference : 1), -1, false);
}

Wide exponential(Wide x) {
    constexpr unsigned terms = 36;
    const Wide power = x * ln2;
    const u128 t = to_fraction(power);
    // (e^t - 1) / t = 1 + t/2 (1 + t/3 (1 + ...))
    u128 difference = 0;
    for (unsigned n = terms; n > 1; --n) {
        const u128 term = t / n;
        const u128 product = multiply_high(term, difference);
        difference = x.negative ? term - product : term + product;
    }
    return x.negative ? decreased(power, difference) : increased(power, difference);
}

Wide logarithm(Wide x) {
    const Wide one = from_integer(1);
    // x = 2^exponent m, m between sqrt(1/2) and sqrt(2).
    Wide m = scaled(x, -x.exponent - 1);
    i32 exponent = x.exponent + 1;
    if (is_smaller(m, sqrt_half_above)) {
        m = scaled(m, 1);
        --exponent;
    }
    Wide whole = from_integer(static_cast<u64>(exponent < 0 ? -i64{exponent} : i64{exponent}));
    whole.negative = exponent < 0;
    if (m.significand == one.significand) return whole;
    const Wide fraction = logarithm_of_ratio((m - one) / (m + one));
    Wide result = whole + fraction;
    result.significand |= 1;
    return result;
}

Wide logarithm_plus_1(Wide x) {
    const Wide one = from_integer(1);
    const Wide quarter = scaled(one, -2);
    if (!is_smaller(x, quarter)) return logarithm(x + one);
    return logarithm_of_ratio(x / (x + from_integer(2)));
}

Wide arc_tangent(Wide y, Wide x) {
    const Wide a = magnitude(y), b = magnitude(x);
    Wide angle = is_smaller(b, a) ? scaled(wide_pi, -1) - first_octant(b / a) : first_octant(a / b);
    if (x.negative) angle = wide_pi - angle;
    angle.significand |= 1;
    angle.negative = y.negative;
    return angle;
}

}  // namespace postern::cpu
