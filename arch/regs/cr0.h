// SPDX-License-Identifier: Apache-2.0
// CR0.
#pragma once

#include "base/flag_word.h"

namespace postern {

/// SDM 3A, "Control Registers".
enum class Cr0 : u8 {
    pe = 0,
    mp = 1,
    em = 2,
    ts = 3,
    et = 4,
    ne = 5,
    wp = 16,
    am = 18,
    nw = 29,
    cd = 30,
    pg = 31,
};
using Cr0Word = FlagWord<Cr0>;

/// The bits that exist. MOV to CR0 drops other bits of 31:0 and faults on bits 63:32.
inline constexpr u64 cr0_defined_mask =
    Cr0Word{Cr0::pe, Cr0::mp, Cr0::em, Cr0::ts, Cr0::et, Cr0::ne,
            Cr0::wp, Cr0::am, Cr0::nw, Cr0::cd, Cr0::pg}
        .to_raw();

/// After power-up, RESET or INIT. SDM 3A, "Processor State After Reset".
inline constexpr u64 cr0_reset = 0x6000'0010;

}  // namespace postern
