// SPDX-License-Identifier: Apache-2.0
// RCPPS, RCPSS, RSQRTPS, RSQRTSS and their VEX forms, in integers.
#include "cpu/simd/reciprocal.h"

#include <cstring>

#include "base/bits.h"
#include "cpu/event/event.h"
#include "cpu/exec/build.h"
#include "cpu/exec/fast.h"
#include "cpu/simd/operand_buffer.h"

namespace postern::cpu {
namespace {

constexpr unsigned fraction_bits = 23;
constexpr unsigned kept_bits = 12;
constexpr i32 bias = 127;
constexpr u32 sign_bit = 0x8000'0000;
constexpr u32 infinity = 0x7f80'0000;
constexpr u32 quiet_bit = 0x0040'0000;
constexpr u32 indefinite = 0xffc0'0000;

/// A finite number that is not zero: significand (24 bits, the top one set) and exponent.
struct Parts {
    u32 sign;
    i32 exponent;  // biased
    u64 significand;
};

Parts parts_of(u32 x) {
    return {x & sign_bit, static_cast<i32>(bits<30, 23>(x)),
            bits<22, 0>(x) | u64{1} << fraction_bits};
}

bool is_zero_or_denormal(u32 x) { return (x & infinity) == 0; }
bool is_nan(u32 x) { return (x & ~sign_bit) > infinity; }
bool is_infinite(u32 x) { return (x & ~sign_bit) == infinity; }

/// A significand of 13 bits, or its successor 2^13, which is 1.0 of the next exponent.
u32 assemble(u32 sign, i32 exponent, u64 significand) {
    if (significand >> (kept_bits + 1) != 0) {
        significand >>= 1;
        ++exponent;
    }
    if (exponent <= 0) return sign;
    const auto fraction = static_cast<u32>(significand << (fraction_bits - kept_bits));
    return sign | static_cast<u32>(exponent) << fraction_bits |
           (fraction & ((1u << fraction_bits) - 1));
}

/// The largest q with q - 1/2 <= sqrt(2^49 / s), for s from 2^23 to 2^25.
u64 rounded_inverse_root(u64 s) {
    u64 low = u64{1} << kept_bits;
    u64 high = u64{1} << (kept_bits + 1);
    while (low < high) {
        const u64 middle = (low + high + 1) / 2;
        const u64 twice = 2 * middle - 1;
        if (twice * twice * s <= u64{1} << 51)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

/// What Insn::aux leads to.
struct Estimate {
    u32 (*of)(u32);
    u8 destination;
    u8 source;  // unless in memory
    u8 rest;    // of a scalar form: where the elements beside the first come from
    u8 count;
    bool aligned;
    bool vex;
};

using Elements = std::array<u32, 8>;

Result<> read_source(Cpu& c, const Insn& i, const Estimate& e, Elements& to) {
    const unsigned bytes = e.count * 4u;
    if ((i.form & form_memory) == 0) {
        std::memcpy(to.data(), c.vector.zmm[e.source].bytes.data(), bytes);
        return Done{};
    }
    const Gva at = linear_address(c, i);
    if (e.aligned && !is_aligned(at.raw(), u64{16})) return general_protection(c);
    return load_operand(c, at, reinterpret_cast<u8*>(to.data()), bytes);
}

Result<> exec_estimate(Cpu& c, const Insn& i) {
    const Estimate& e = *static_cast<const Estimate*>(i.aux);
    Elements from{};
    TRY(read_source(c, i, e, from));
    Elements result{};
    if (e.count == 1) std::memcpy(result.data(), c.vector.zmm[e.rest].bytes.data(), 16);
    for (unsigned n = 0; n < e.count; ++n) result[n] = e.of(from[n]);
    std::memcpy(c.vector.zmm[e.destination].bytes.data(), result.data(), e.vex ? 32 : 16);
    return Done{};
}

u8 number_of(const ZydisDecodedOperand& o) {
    return static_cast<u8>(ZydisRegisterGetId(o.reg.value));
}

bool is_root(ZydisMnemonic m) {
    return m == ZYDIS_MNEMONIC_RSQRTPS || m == ZYDIS_MNEMONIC_RSQRTSS ||
           m == ZYDIS_MNEMONIC_VRSQRTPS || m == ZYDIS_MNEMONIC_VRSQRTSS;
}

bool is_scalar(ZydisMnemonic m) {
    return m == ZYDIS_MNEMONIC_RCPSS || m == ZYDIS_MNEMONIC_RSQRTSS || m == ZYDIS_MNEMONIC_VRCPSS ||
           m == ZYDIS_MNEMONIC_VRSQRTSS;
}

}  // namespace

u32 reciprocal(u32 x) {
    if (is_nan(x)) return x | quiet_bit;
    if (is_infinite(x)) return x & sign_bit;
    if (is_zero_or_denormal(x)) return (x & sign_bit) | infinity;
    const Parts p = parts_of(x);
    const u64 quotient = ((u64{1} << 36) + p.significand / 2) / p.significand;
    return assemble(p.sign, 2 * bias - 1 - p.exponent, quotient);
}

u32 reciprocal_root(u32 x) {
    if (is_nan(x)) return x | quiet_bit;
    if (is_zero_or_denormal(x)) return (x & sign_bit) | infinity;
    if ((x & sign_bit) != 0) return indefinite;
    if (is_infinite(x)) return 0;
    const Parts p = parts_of(x);
    const bool odd = (p.exponent - bias) % 2 != 0;
    const i32 half = (p.exponent - bias - (odd ? 1 : 0)) / 2;
    return assemble(0, bias - 1 - half, rounded_inverse_root(p.significand << (odd ? 1 : 0)));
}

Handler build_reciprocal(const Decoded& d, Insn& i, BlockCache& cache) {
    const ZydisMnemonic mnemonic = d.instruction.mnemonic;
    const bool vex = d.instruction.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX;
    const unsigned last = d.instruction.operand_count_visible - 1u;
    auto* e = cache.allocate<Estimate>(1);
    *e = {.of = is_root(mnemonic) ? reciprocal_root : reciprocal,
          .destination = number_of(d.operand[0]),
          .source = d.is_register(last) ? number_of(d.operand[last]) : u8{0},
          .rest = number_of(d.operand[last - 1]),  // the destination, in legacy forms
          .count = static_cast<u8>(is_scalar(mnemonic) ? 1 : d.size(0) / 4),
          .aligned = !vex && !is_scalar(mnemonic),
          .vex = vex};
    i.aux = e;
    return inside_block<exec_estimate>;
}

}  // namespace postern::cpu
