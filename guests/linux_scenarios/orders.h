// SPDX-License-Identifier: Apache-2.0
// What the scenario program of Linux and the machine's owner say to each other at the mark port.
#pragma once

#include "base/types.h"

namespace postern::guests {

/// Written: the program is ready, and reads its order next.
inline constexpr u32 mark_ready = 0xf600'0000;

/// Read: bits 7:0 the scenario's number, bits 9:8 a Side, and a pattern above them.
inline constexpr u32 order_pattern = 0x0de0'0000;

constexpr u32 order_of(u32 scenario, u32 side) { return order_pattern | side << 8 | scenario; }
constexpr bool is_order(u32 order) { return (order & 0xffff'0000) == order_pattern; }
constexpr u32 scenario_of(u32 order) { return order & 0xff; }
constexpr u32 side_number_of(u32 order) { return order >> 8 & 3; }

}  // namespace postern::guests
