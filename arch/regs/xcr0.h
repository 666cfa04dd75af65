// SPDX-License-Identifier: Apache-2.0
// The state-component bitmap: XCR0, IA32_XSS, an enclave's XFRM, XSTATE_BV.
#pragma once

#include "base/flag_word.h"

namespace postern {

/// SDM 1, "XSAVE-Supported Features and State-Component Bitmaps". Components that only
/// IA32_XSS may name are here too.
enum class Xcr0 : u8 {
    x87 = 0,
    sse = 1,
    avx = 2,
    bndregs = 3,
    bndcsr = 4,
    opmask = 5,
    zmm_hi256 = 6,
    hi16_zmm = 7,
    pt = 8,
    pkru = 9,
    pasid = 10,
    cet_u = 11,
    cet_s = 12,
    hdc = 13,
    uintr = 14,
    lbr = 15,
    hwp = 16,
    tilecfg = 17,
    tiledata = 18,
    apx = 19,
};
using Xcr0Word = FlagWord<Xcr0>;

/// What IA32_XSS, not XCR0, turns on.
inline constexpr Xcr0Word supervisor_components{Xcr0::pt,  Xcr0::pasid, Xcr0::cet_u, Xcr0::cet_s,
                                                Xcr0::hdc, Xcr0::uintr, Xcr0::lbr,   Xcr0::hwp};

/// XSETBV's rules about which bits of XCR0 go together. SDM 1, "Enabling the XSAVE Feature
/// Set and XSAVE-Enabled Features". `supported` is CPUID.(0DH,0):EDX:EAX.
constexpr bool is_legal_xcr0(Xcr0Word value, Xcr0Word supported) {
    const auto all_or_none = [value](Xcr0Word group) {
        return !value.has_any(group) || value.has_all(group);
    };
    constexpr Xcr0Word avx512{Xcr0::opmask, Xcr0::zmm_hi256, Xcr0::hi16_zmm};
    if (!value.has(Xcr0::x87) || !supported.has_all(value)) return false;
    if (value.has(Xcr0::avx) && !value.has(Xcr0::sse)) return false;
    if (value.has_any(avx512) && !value.has(Xcr0::avx)) return false;
    return all_or_none(avx512) && all_or_none({Xcr0::bndregs, Xcr0::bndcsr}) &&
           all_or_none({Xcr0::tilecfg, Xcr0::tiledata});
}

/// Sizes within the XSAVE area. SDM 1, "XSAVE Area".
inline constexpr u32 xsave_legacy_size = 512;
inline constexpr u32 xsave_header_size = 64;
inline constexpr u32 xsave_minimum_size = xsave_legacy_size + xsave_header_size;

}  // namespace postern
