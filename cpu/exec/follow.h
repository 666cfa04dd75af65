// SPDX-License-Identifier: Apache-2.0
// From one block to the next without the run loop, when the way is known. Instructions are
// fetched through the TLB once for each page that control enters (Cpu::code_page is that page);
// so a jump out of the page asks the TLB, whether it is linked or found by the run loop.
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

inline u64 code_page_of(u64 linear) { return linear & ~(page_size - 1); }

/// True, and fetches come from there now: the TLB leads the page of `target` to `host_page`.
inline bool enter_code_page(Cpu& c, u64 target, u64 host_page) {
    const TlbEntry& e = c.tlb->entry[Tlb::slot_of(target)];
    const u64 page = code_page_of(target);
    if (e.exec != page || e.page != host_page) [[unlikely]]
        return false;
    c.code_page = page;
    c.code_host = reinterpret_cast<const u8*>(host_page);
    return true;
}

/// The same; nothing to ask while control stays in its page. Another program may have had other
/// code at the same linear address, so where the page lies counts even then.
inline bool fetches_from(Cpu& c, u64 target, u64 host_page) {
    if (code_page_of(target) == c.code_page) return reinterpret_cast<u64>(c.code_host) == host_page;
    return enter_code_page(c, target, host_page);
}

/// What to run for a direct jump to `target`. `far`: it lies outside the page.
template <bool far>
inline const Insn* follow(Cpu& c, Link& link, u64 target) {
    if constexpr (!POSTERN_LOOP) {
        if (link.stamp == c.code_epoch) [[likely]] {
            if (!far || enter_code_page(c, target, link.page)) [[likely]] {
                c.gpr[row_block] = target;
                return link.entry;
            }
        }
    }
    c.rip = target;
    c.unresolved = &link;
    return &lookup_insn;
}

inline const Insn* follow_indirect(Cpu& c, u64 target) {
    if constexpr (!POSTERN_LOOP) {
        const JumpTarget& t = c.blocks->jumps[BlockCache::jump_slot(target)];
        if (t.linear == target && t.stamp == c.mode_stamp) [[likely]] {
            if (fetches_from(c, target, t.page)) [[likely]] {
                c.gpr[row_block] = target;
                return t.entry;
            }
        }
    }
    c.rip = target;
    return &lookup_insn;
}

}  // namespace postern::cpu
