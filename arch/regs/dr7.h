// SPDX-License-Identifier: Apache-2.0
// DR7, the debug control register.
#pragma once

#include "base/flag_word.h"

namespace postern {

/// SDM 3B, "Debug Control Register (DR7)".
enum class Dr7 : u8 {
    l0 = 0,
    g0 = 1,
    l1 = 2,
    g1 = 3,
    l2 = 4,
    g2 = 5,
    l3 = 6,
    g3 = 7,
    le = 8,
    ge = 9,
    rtm = 11,
    gd = 13,
};
using Dr7Word = FlagWord<Dr7>;

/// Bit 10 always reads as 1; the value after reset.
inline constexpr u64 dr7_reset = 0x400;

inline constexpr unsigned breakpoint_count = 4;

enum class BreakpointKind : u8 { execution = 0, write = 1, io = 2, read_write = 3 };

/// Breakpoint `n` is on, locally or globally.
constexpr bool breakpoint_enabled(Dr7Word dr7, unsigned n) {
    return (dr7.to_raw() >> (2 * n) & 3) != 0;
}

constexpr BreakpointKind breakpoint_kind(Dr7Word dr7, unsigned n) {
    return static_cast<BreakpointKind>(dr7.to_raw() >> (16 + 4 * n) & 3);
}

/// In bytes. The encoding 10B means 8.
constexpr unsigned breakpoint_length(Dr7Word dr7, unsigned n) {
    switch (dr7.to_raw() >> (18 + 4 * n) & 3) {
        case 0: return 1;
        case 1: return 2;
        case 2: return 8;
        default: return 4;
    }
}

}  // namespace postern
