// SPDX-License-Identifier: Apache-2.0
// From bytes to a block of instructions with their handlers.
#pragma once

#include "cpu/decode/block_cache.h"

namespace postern::cpu {

/// The mode word that code at CPL and state of `c` is decoded for; without mode_single.
u32 block_mode(const Cpu& c);

/// The block at Cpu::rip in `mode`, from the cache or decoded now. Null: the fetch of its first
/// instruction failed (Cpu::pending).
Block* find_or_decode(Cpu& c, u32 mode);

}  // namespace postern::cpu
