// SPDX-License-Identifier: Apache-2.0
// Whose turn it is, of processors that share one clock. A turn is of at most 10,000 instructions,
// in a fixed order; it ends early where the processor has nothing to do.
#pragma once

#include <type_traits>

#include "cpu/cpu.h"

namespace postern::platform {

inline constexpr u64 longest_turn = 10'000;

/// Whose turn it is, and until when: a turn may be cut in two by whoever runs the processors.
struct TurnState {
    u64 now = 0;
    u64 turn_end = 0;
    u32 turn = 0;
    u32 reserved = 0;
};
static_assert(std::is_standard_layout_v<TurnState> && std::is_trivially_copyable_v<TurnState>);

/// The processor's clock stands at the machine's time.
inline void set_clock(cpu::Cpu& c, u64 now) {
    c.horizon = now;
    c.budget = 0;
}

/// The turn goes on, or to the next processor that has something to do; false: none has. `wakes`
/// says it of a processor by its number, after setting its clock.
template <class Wakes>
bool find_turn(TurnState& state, unsigned count, Wakes&& wakes) {
    if (state.now < state.turn_end && wakes(state.turn)) return true;
    for (unsigned n = 1; n <= count; ++n) {
        const unsigned next = (state.turn + n) % count;
        if (!wakes(next)) continue;
        state.turn = next;
        state.turn_end = state.now + longest_turn;
        return true;
    }
    return false;
}

}  // namespace postern::platform
