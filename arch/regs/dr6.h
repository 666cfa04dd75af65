// SPDX-License-Identifier: Apache-2.0
// DR6, the debug status register.
#pragma once

#include "base/flag_word.h"

namespace postern {

/// SDM 3B, "Debug Status Register (DR6)". `bld` and `rtm` are active low.
enum class Dr6 : u8 {
    b0 = 0,
    b1 = 1,
    b2 = 2,
    b3 = 3,
    bld = 11,
    bd = 13,
    bs = 14,
    bt = 15,
    rtm = 16,
};
using Dr6Word = FlagWord<Dr6>;

/// The value after reset: also what an empty status reads as.
inline constexpr u64 dr6_reset = 0xffff'0ff0;

/// What software may change on a processor without bus-lock detection and RTM.
inline constexpr u64 dr6_writable_mask =
    Dr6Word{Dr6::b0, Dr6::b1, Dr6::b2, Dr6::b3, Dr6::bd, Dr6::bs, Dr6::bt}.to_raw();

}  // namespace postern
