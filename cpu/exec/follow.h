// SPDX-License-Identifier: Apache-2.0
// From one block to the next without the run loop, when the way is known.
#pragma once

#include "cpu/decode/block_cache.h"
#include "cpu/exec/fast.h"

namespace postern::cpu {

/// Hands control to the run loop, which finds the block at Cpu::rip.
Step leave_for_lookup(Cpu& c, const Insn* i);
inline constexpr Insn lookup_insn{.run = leave_for_lookup,
                                  .imm = 0,
                                  .disp = 0,
                                  .dst = 0,
                                  .src = 0,
                                  .base = row_zero,
                                  .index = row_zero,
                                  .scale = 0,
                                  .segment = row_zero,
                                  .form = 0,
                                  .length = 0,
                                  .offset = 0,
                                  .remaining = 0};

/// What to run for a direct jump to `target`. Far links hold for one context (translations, mode,
/// code); links within a page hold until code is dropped, because the page is the one running.
template <bool far>
inline const Insn* follow(Cpu& c, Link& link, u64 target) {
    if constexpr (!POSTERN_LOOP) {
        if (link.stamp == (far ? c.context_stamp : c.code_epoch)) [[likely]] {
            c.gpr[row_block] = target;
            return link.entry;
        }
    }
    c.rip = target;
    c.unresolved = &link;
    c.unresolved_far = far;
    return &lookup_insn;
}

inline const Insn* known_target(const Cpu& c, u64 target) {
    const JumpTarget& t = c.blocks->jumps[BlockCache::jump_slot(target)];
    return t.linear == target && t.stamp == c.context_stamp ? t.entry : nullptr;
}

inline const Insn* follow_indirect(Cpu& c, u64 target) {
    if constexpr (!POSTERN_LOOP) {
        if (const Insn* entry = known_target(c, target)) [[likely]] {
            c.gpr[row_block] = target;
            return entry;
        }
    }
    c.rip = target;
    return &lookup_insn;
}

}  // namespace postern::cpu
