// SPDX-License-Identifier: Apache-2.0
// The functions behind the transcendental instructions, to some 120 bits, in integers. None of
// their results but those that say so is a number of 64 bits; the last bit of a significand is
// set where that might seem otherwise.
#pragma once

#include "cpu/x87/wide.h"

namespace postern::cpu {

/// An angle as a whole number of right angles and a rest of at most half of one. A right angle
/// here is half of the 66-bit pi of Intel's processors, so that the rest is exact.
/// SDM 1, "Approximation of Pi".
struct Angle {
    unsigned quadrant;  // modulo 4
    Wide rest;          // may be negative
};
/// |x| below 2^63, with at most 64 bits.
Angle reduced(Wide x);

// x not zero, |x| at most half a right angle.
Wide sine(Wide x);
Wide cosine(Wide x);

/// x not zero, |x| below 1: 2^x - 1.
Wide exponential(Wide x);

/// x positive, not 1. Exact if x is a power of two.
Wide logarithm(Wide x);
/// log2(1 + x), x above -1 and not zero. Exact if 1 + x is a power of two.
Wide logarithm_plus_1(Wide x);

/// The angle of the point (x, y), neither of them zero; with the sign of y.
Wide arc_tangent(Wide y, Wide x);

inline constexpr Wide wide_pi{join(0xc90f'daa2'2168'c234, 0xc4c6'628b'80dc'1cd1), 1, false};

}  // namespace postern::cpu
