// SPDX-License-Identifier: Apache-2.0
// Double extended-precision values in integers: what they are, and rounding to them.
// SDM 1, "Floating-Point Data Types" and "x87 FPU Floating-Point Exception Conditions".
#pragma once

#include "cpu/vector_state.h"
#include "cpu/x87/wide.h"

namespace postern::cpu {

struct Extended {
    u64 significand;
    u16 sign_exponent;

    [[nodiscard]] constexpr bool negative() const { return sign_exponent >> 15 != 0; }
    [[nodiscard]] constexpr u16 exponent() const { return sign_exponent & 0x7fff; }
    friend constexpr bool operator==(Extended, Extended) = default;
};

inline constexpr i32 exponent_bias = 0x3fff;
inline constexpr u16 exponent_special = 0x7fff;
inline constexpr u64 integer_bit = u64{1} << 63;
inline constexpr u64 quiet_bit = u64{1} << 62;

inline constexpr Extended extended_one{integer_bit, exponent_bias};
/// What invalid operations give.
inline constexpr Extended indefinite{integer_bit | quiet_bit, 0xffff};
constexpr Extended extended_zero(bool negative) { return {0, static_cast<u16>(negative << 15)}; }
constexpr Extended extended_infinity(bool negative) {
    return {integer_bit, static_cast<u16>(negative << 15 | exponent_special)};
}

enum class Kind : u8 { zero, denormal, normal, infinity, quiet_nan, signaling_nan, unsupported };

constexpr Kind kind_of(Extended v) {
    const bool has_integer = (v.significand & integer_bit) != 0;
    if (v.exponent() == 0) return v.significand == 0 ? Kind::zero : Kind::denormal;
    if (!has_integer) return Kind::unsupported;
    if (v.exponent() != exponent_special) return Kind::normal;
    if (v.significand == integer_bit) return Kind::infinity;
    return (v.significand & quiet_bit) != 0 ? Kind::quiet_nan : Kind::signaling_nan;
}
constexpr bool is_nan(Kind kind) { return kind == Kind::quiet_nan || kind == Kind::signaling_nan; }

/// Of a finite value.
constexpr Wide to_wide(Extended v) {
    const i32 exponent = v.exponent() == 0 ? 1 : i32{v.exponent()};
    return normalised(join(v.significand, 0), exponent - exponent_bias, v.negative());
}

struct Rounded {
    Extended value;
    u16 flags;  // of the status word: OE, UE, PE
    bool up;    // C1: the significand was rounded up
};

/// To 64 bits by the control word's rounding control. An unmasked overflow or underflow gives the
/// result with its exponent moved by 24576.
Rounded round_to_extended(Wide v, u16 fcw);

}  // namespace postern::cpu
