// SPDX-License-Identifier: Apache-2.0
// The arithmetic of the hot two-operand instructions: value and lazy flags.
#pragma once

#include "cpu/flags.h"

namespace postern::cpu {

// Each operation: `apply` gives the result and sets the flags; `writes`: it has a destination.
// SDM 2A and 2B, the instruction of the same name, Operation and Flags Affected.

struct Add {
    static constexpr bool writes = true;
    template <class T>
    static T apply(Cpu& c, T a, T b) {
        const T r = static_cast<T>(a + b);
        set_add_flags(c, a, b, r);
        return r;
    }
};
struct Adc {
    static constexpr bool writes = true;
    template <class T>
    static T apply(Cpu& c, T a, T b) {
        const T r = static_cast<T>(a + b + cf(c));
        set_add_flags(c, a, b, r);
        return r;
    }
};
/// ADCX and ADOX: addition with one flag for the carry; the others keep their values.
template <class T>
constexpr T add_with_carry(T a, T b, bool& carry) {
    const T sum = static_cast<T>(a + b);
    const T r = static_cast<T>(sum + carry);
    carry = sum < a || r < sum;
    return r;
}
struct Adcx {
    static constexpr bool writes = true;
    template <class T>
    static T apply(Cpu& c, T a, T b) {
        bool carry = cf(c);
        const T r = add_with_carry(a, b, carry);
        set_cf(c, carry);
        return r;
    }
};
struct Adox {
    static constexpr bool writes = true;
    template <class T>
    static T apply(Cpu& c, T a, T b) {
        bool carry = of(c);
        const T r = add_with_carry(a, b, carry);
        set_cf_of(c, cf(c), carry);
        return r;
    }
};
struct Sub {
    static constexpr bool writes = true;
    template <class T>
    static T apply(Cpu& c, T a, T b) {
        const T r = static_cast<T>(a - b);
        set_sub_flags(c, a, b, r);
        return r;
    }
};
struct Sbb {
    static constexpr bool writes = true;
    template <class T>
    static T apply(Cpu& c, T a, T b) {
        const T r = static_cast<T>(a - b - cf(c));
        set_sub_flags(c, a, b, r);
        return r;
    }
};
struct Cmp {
    static constexpr bool writes = false;
    template <class T>
    static T apply(Cpu& c, T a, T b) {
        set_sub_flags(c, a, b, static_cast<T>(a - b));
        return a;
    }
};
struct And {
    static constexpr bool writes = true;
    template <class T>
    static T apply(Cpu& c, T a, T b) {
        const T r = static_cast<T>(a & b);
        set_logic_flags(c, r);
        return r;
    }
};
struct Or {
    static constexpr bool writes = true;
    template <class T>
    static T apply(Cpu& c, T a, T b) {
        const T r = static_cast<T>(a | b);
        set_logic_flags(c, r);
        return r;
    }
};
struct Xor {
    static constexpr bool writes = true;
    template <class T>
    static T apply(Cpu& c, T a, T b) {
        const T r = static_cast<T>(a ^ b);
        set_logic_flags(c, r);
        return r;
    }
};
struct Test {
    static constexpr bool writes = false;
    template <class T>
    static T apply(Cpu& c, T a, T b) {
        set_logic_flags(c, static_cast<T>(a & b));
        return a;
    }
};

// One operand. INC and DEC keep CF; NOT touches no flag.

struct Inc {
    template <class T>
    static T apply(Cpu& c, T a) {
        const bool carry = cf(c);
        const T r = static_cast<T>(a + 1);
        set_add_flags(c, a, T{1}, r);
        set_cf(c, carry);
        return r;
    }
};
struct Dec {
    template <class T>
    static T apply(Cpu& c, T a) {
        const bool carry = cf(c);
        const T r = static_cast<T>(a - 1);
        set_sub_flags(c, a, T{1}, r);
        set_cf(c, carry);
        return r;
    }
};
struct Neg {
    template <class T>
    static T apply(Cpu& c, T a) {
        const T r = static_cast<T>(0 - a);
        set_sub_flags(c, T{0}, a, r);
        return r;
    }
};
struct Not {
    template <class T>
    static T apply(Cpu&, T a) {
        return static_cast<T>(~a);
    }
};

// Shifts and rotates; the count is already masked to 5 or 6 bits and not zero. OF for counts
// other than 1, and AF, are undefined: docs/model-defined.md. CF of SHL/SHR by more than the
// operand's width likewise: here the bit that a width-by-width shifter would have shifted out.

template <class T>
inline constexpr unsigned width = 8 * sizeof(T);
template <class T>
constexpr bool top_bit(T v) {
    return (v >> (width<T> - 1) & 1) != 0;
}

struct Shl {
    template <class T>
    static T apply(Cpu& c, T a, unsigned count) {
        const u64 wide = u64{a};
        const T r = count < width<T> ? static_cast<T>(wide << count) : T{0};
        const bool carry = count <= width<T> && (wide >> (width<T> - count) & 1) != 0;
        set_logic_flags(c, r);
        set_cf_of(c, carry, top_bit(r) != carry);
        return r;
    }
};
struct Shr {
    template <class T>
    static T apply(Cpu& c, T a, unsigned count) {
        const T r = count < width<T> ? static_cast<T>(a >> count) : T{0};
        const bool carry = count <= width<T> && (u64{a} >> (count - 1) & 1) != 0;
        set_logic_flags(c, r);
        set_cf_of(c, carry, top_bit(a));
        return r;
    }
};
struct Sar {
    template <class T>
    static T apply(Cpu& c, T a, unsigned count) {
        const i64 wide = static_cast<i64>(sign_extended(a));
        const T r = static_cast<T>(wide >> count);
        set_logic_flags(c, r);
        set_cf_of(c, (wide >> (count - 1) & 1) != 0, false);
        return r;
    }
};

// Rotates change CF and OF only.

struct Rol {
    template <class T>
    static T apply(Cpu& c, T a, unsigned count) {
        const unsigned n = count % width<T>;
        const T r = n == 0 ? a : static_cast<T>(a << n | a >> (width<T> - n));
        const bool carry = (r & 1) != 0;
        set_cf_of(c, carry, top_bit(r) != carry);
        return r;
    }
};
struct Ror {
    template <class T>
    static T apply(Cpu& c, T a, unsigned count) {
        const unsigned n = count % width<T>;
        const T r = n == 0 ? a : static_cast<T>(a >> n | a << (width<T> - n));
        const bool second = (r >> (width<T> - 2) & 1) != 0;
        set_cf_of(c, top_bit(r), top_bit(r) != second);
        return r;
    }
};
struct Rcl {
    template <class T>
    static T apply(Cpu& c, T a, unsigned count) {
        bool carry = cf(c);
        for (unsigned n = count % (width<T> + 1); n != 0; --n) {
            const bool out = top_bit(a);
            a = static_cast<T>(a << 1 | T{carry});
            carry = out;
        }
        set_cf_of(c, carry, top_bit(a) != carry);
        return a;
    }
};
struct Rcr {
    template <class T>
    static T apply(Cpu& c, T a, unsigned count) {
        bool carry = cf(c);
        for (unsigned n = count % (width<T> + 1); n != 0; --n) {
            const bool out = (a & 1) != 0;
            a = static_cast<T>(a >> 1 | static_cast<T>(T{carry} << (width<T> - 1)));
            carry = out;
        }
        const bool second = (a >> (width<T> - 2) & 1) != 0;
        set_cf_of(c, carry, top_bit(a) != second);
        return a;
    }
};

}  // namespace postern::cpu
