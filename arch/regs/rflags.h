// SPDX-License-Identifier: Apache-2.0
// RFLAGS: its bits and the masks that instructions treat as one.
#pragma once

#include "base/bits.h"
#include "base/flag_word.h"

namespace postern {

/// SDM 1, "EFLAGS Register".
enum class Rflag : u8 {
    cf = 0,
    pf = 2,
    af = 4,
    zf = 6,
    sf = 7,
    tf = 8,
    if_ = 9,
    df = 10,
    of = 11,
    iopl0 = 12,
    iopl1 = 13,
    nt = 14,
    rf = 16,
    vm = 17,
    ac = 18,
    vif = 19,
    vip = 20,
    id = 21,
};
using Rflags = FlagWord<Rflag>;

/// Bit 1 always reads as 1.
inline constexpr u64 rflags_fixed_one = 2;

/// The six status flags: CF, PF, AF, ZF, SF, OF.
inline constexpr u64 rflags_status_mask =
    Rflags{Rflag::cf, Rflag::pf, Rflag::af, Rflag::zf, Rflag::sf, Rflag::of}.to_raw();

/// Every bit that exists, the fixed one left out.
inline constexpr u64 rflags_defined_mask =
    rflags_status_mask | Rflags{Rflag::tf,    Rflag::if_, Rflag::df,  Rflag::iopl0,
                                Rflag::iopl1, Rflag::nt,  Rflag::rf,  Rflag::vm,
                                Rflag::ac,    Rflag::vif, Rflag::vip, Rflag::id}
                             .to_raw();

inline constexpr u64 rflags_iopl_mask = bit_mask(13, 12);

constexpr unsigned iopl(Rflags flags) {
    return static_cast<unsigned>(bits<13, 12>(flags.to_raw()));
}

}  // namespace postern
