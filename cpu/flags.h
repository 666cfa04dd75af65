// SPDX-License-Identifier: Apache-2.0
// Lazy status flags: two words and a half instead of six bits. An arithmetic handler stores its
// sign-extended result and the vector of carries out of each bit, moved up so that the carry out
// of the operand's top bit is bit 63; whoever needs a flag computes it from these.
#pragma once

#include <bit>
#include <concepts>

#include "arch/regs/rflags.h"
#include "base/types.h"
#include "cpu/cpu.h"

namespace postern::cpu {

// result:  ZF = (result == 0), SF = bit 63, PF = even parity of the low byte.
// carries: CF = bit 63, OF = bit 63 ^ bit 62.
// adjust:  AF = bit 4 (of a ^ b ^ r). Bits 8 and 9 invert SF and PF: only an image of RFLAGS
//          (POPF, SAHF, IRET, ...) sets them, for combinations that no result has.
inline constexpr u32 adjust_sf = 1u << 8;
inline constexpr u32 adjust_pf = 1u << 9;

inline bool cf(const Cpu& c) { return c.carries >> 63 != 0; }
inline bool of(const Cpu& c) { return ((c.carries ^ (c.carries << 1)) >> 63) != 0; }
inline bool zf(const Cpu& c) { return c.result == 0; }
inline bool sf(const Cpu& c) { return ((c.result ^ (u64{c.adjust & adjust_sf} << 55)) >> 63) != 0; }
inline bool af(const Cpu& c) { return (c.adjust & 0x10) != 0; }
inline bool pf(const Cpu& c) {
    const auto ones = static_cast<u32>(std::popcount(static_cast<u8>(c.result)));
    return ((ones ^ c.adjust >> 9) & 1) == 0;
}

/// The six status flags, as they stand in RFLAGS.
inline u64 materialise(const Cpu& c) {
    return u64{cf(c)} | u64{pf(c)} << 2 | u64{af(c)} << 4 | u64{zf(c)} << 6 | u64{sf(c)} << 7 |
           u64{of(c)} << 11;
}

/// The inverse: any combination of the six can be represented.
inline void from_image(Cpu& c, u64 image) {
    const bool zero = (image & 0x40) != 0;
    const bool sign = (image & 0x80) != 0;
    const bool parity = (image & 4) != 0;
    const bool carry = (image & 1) != 0;
    const bool overflow = (image & 0x800) != 0;
    c.result = zero ? 0 : 1;  // SF of either is 0; PF of 0 is 1, of 1 is 0
    c.carries = u64{carry} << 63 | u64{carry != overflow} << 62;
    c.adjust =
        static_cast<u32>(image & 0x10) | (sign ? adjust_sf : 0) | (parity != zero ? adjust_pf : 0);
}

/// CF and OF replaced, the others kept.
inline void set_cf_of(Cpu& c, bool carry, bool overflow) {
    c.carries = u64{carry} << 63 | u64{carry != overflow} << 62;
}
inline void set_cf(Cpu& c, bool carry) { set_cf_of(c, carry, of(c)); }

/// The status flags as they are kept, to come back to.
struct KeptFlags {
    u64 result, carries;
    u32 adjust;
};
inline KeptFlags keep_flags(const Cpu& c) { return {c.result, c.carries, c.adjust}; }
inline void restore_flags(Cpu& c, const KeptFlags& kept) {
    c.result = kept.result;
    c.carries = kept.carries;
    c.adjust = kept.adjust;
}

/// RFLAGS as software reads it (bit 1 set).
inline u64 rflags(const Cpu& c) { return c.flags.to_raw() | materialise(c) | rflags_fixed_one; }

/// All of RFLAGS; the caller has decided which bits may change.
inline void set_rflags(Cpu& c, u64 image) {
    from_image(c, image);
    c.flags = Rflags::from_raw(image & ~rflags_status_mask & ~rflags_fixed_one);
}

/// Sign extension of an operand to the 64 bits that `result` wants.
template <std::unsigned_integral T>
constexpr u64 sign_extended(T value) {
    return static_cast<u64>(static_cast<i64>(static_cast<std::make_signed_t<T>>(value)));
}

template <std::unsigned_integral T>
inline void set_logic_flags(Cpu& c, T r) {
    c.result = sign_extended(r);
    c.carries = 0;
    c.adjust = 0;
}

template <std::unsigned_integral T>
inline void set_add_flags(Cpu& c, T a, T b, T r) {
    c.result = sign_extended(r);
    c.carries = static_cast<u64>(static_cast<T>((a & b) | ((a | b) & ~r))) << (64 - 8 * sizeof(T));
    c.adjust = static_cast<u8>(a ^ b ^ r);
}

template <std::unsigned_integral T>
inline void set_sub_flags(Cpu& c, T a, T b, T r) {
    c.result = sign_extended(r);
    c.carries = static_cast<u64>(static_cast<T>((~a & b) | ((~a | b) & r))) << (64 - 8 * sizeof(T));
    c.adjust = static_cast<u8>(a ^ b ^ r);
}

}  // namespace postern::cpu
