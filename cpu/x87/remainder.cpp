// SPDX-License-Identifier: Apache-2.0
// The partial remainder. By how much it reduces is the processor's choice, so it is ours; the last
// step has one result only, and is the host's. SDM 2A, "FPREM".
#include "cpu/x87/operation.h"
#include "cpu/x87/software.h"

namespace postern::cpu {
namespace {

constexpr i32 partial_from = 64;

bool is_finite_number(Kind kind) { return kind == Kind::normal || kind == Kind::denormal; }

/// a - b * q, q the whole part of a / b, for a = significand * 2^doublings.
u128 remainder(u64 significand, i32 doublings, u64 b) {
    u128 rest = significand;
    for (i32 n = 0; n <= doublings; ++n) {
        if (n != 0) rest <<= 1;
        if (rest >= b) rest -= b;
    }
    return rest;
}

bool is_partial(const X87State& state) {
    const Extended x = register_of(state, 0), y = register_of(state, 1);
    if (is_empty(state, 0) || is_empty(state, 1)) return false;
    if (!is_finite_number(kind_of(x)) || !is_finite_number(kind_of(y))) return false;
    return to_wide(x).exponent - to_wide(y).exponent >= partial_from;
}

}  // namespace

bool make_partial_remainder(Cpu& c) {
    if (!is_partial(guest_x87(c))) return false;
    Operation op{c};
    const Extended a = op.st(0), b = op.st(1);
    op.set_condition(fsw_c2, false);
    const bool denormal = kind_of(a) == Kind::denormal || kind_of(b) == Kind::denormal;
    if (denormal && !op.signal(x87_de)) return true;
    const Wide x = to_wide(a), y = to_wide(b);
    // As many bits as Intel's processors: between 32 and 63.
    const i32 bits = 32 + (x.exponent - y.exponent) % 32;
    const u128 rest = remainder(static_cast<u64>(x.significand >> 64), bits,
                                static_cast<u64>(y.significand >> 64));
    op.put(0, op.rounded(normalised(rest, x.exponent - bits + 64, x.negative)));
    op.set_condition(fsw_c0 | fsw_c1 | fsw_c3, false);
    op.set_condition(fsw_c2, true);
    return true;
}

}  // namespace postern::cpu
