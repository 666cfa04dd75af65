// SPDX-License-Identifier: Apache-2.0
// X87State taken apart and put together: what turns with TOP, full tags, what FNINIT makes.
#pragma once

#include "cpu/vector_state.h"

namespace postern::cpu {

/// The same physical registers under another TOP: X87State::st is in the order of the stack.
X87State with_fsw(const X87State& state, u16 fsw);

/// SDM 2A, "FINIT/FNINIT": the registers become empty, but keep what they hold.
X87State initialised(const X87State& state);

/// Two bits a physical register: valid, zero, special, empty. SDM 1, "x87 FPU Tag Word".
u16 full_tags(const X87State& state);
/// What of them is kept.
u8 abridged_tags(u16 full);

}  // namespace postern::cpu
