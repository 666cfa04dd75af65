// SPDX-License-Identifier: Apache-2.0
// The software TLB: linear pages to host pointers. Which array is used stands for privilege and
// enclave context, which tag matches stands for the kind of access. What it holds is visible to
// software (tables changed without a flush), so it is a function of the instructions executed and
// of nothing else: not of how blocks were cut, linked or kept.
#pragma once

#include <array>

#include "base/types.h"

namespace postern::cpu {

inline constexpr unsigned tlb_entries = 1024;

/// Three linear page addresses, one for each kind of access, and the host page they lead to.
/// A hit is one subtraction and one compare: offset = address - tag; offset <= 4096 - size.
struct TlbEntry {
    u64 read, write, exec;
    u64 page;  // host address of the page's first byte
};
static_assert(sizeof(TlbEntry) == 32);

/// What an entry translates. The tags may say less: that of writes is withheld while the page
/// holds cached code or a monitored line, so that stores come by the slow path.
enum TlbFlag : u8 {
    tlb_reads = 1,
    tlb_writes = 2,
    tlb_executes = 4,
    tlb_global = 8,
    tlb_large = 16,
    tlb_watched = 32  // by the debugger: no data tag is ever there
};

struct TlbInfo {
    u64 linear;  // of the page; meaningful if `flags` has any access
    u32 flags;
};

/// A tag that no address of `slot` can hit: it is not canonical and belongs to another slot.
constexpr u64 tlb_no_tag(unsigned slot) {
    return u64{1} << 62 | u64{(slot + 1) % tlb_entries} << 12;
}

/// One context's translations. Filled slots are noted, so that a flush costs no more than the
/// fills since the last one: every enclave entry and exit flushes.
struct Tlb {
    std::array<TlbEntry, tlb_entries> entry;
    std::array<TlbInfo, tlb_entries> info;
    std::array<u16, tlb_entries> filled;
    u32 filled_count;
    bool checked;  // every data access is looked at by itself: no data tag is ever there

    void reset() {
        for (unsigned slot = 0; slot < tlb_entries; ++slot) clear(slot);
        filled_count = 0;
    }
    void flush() {
        for (unsigned n = 0; n < filled_count; ++n) clear(filled[n]);
        filled_count = 0;
    }
    void flush_unless(u32 flag) {
        unsigned kept = 0;
        for (unsigned n = 0; n < filled_count; ++n) {
            const u16 slot = filled[n];
            if ((info[slot].flags & flag) != 0)
                filled[kept++] = slot;
            else
                clear(slot);
        }
        filled_count = kept;
    }
    /// The page, and all parts of large pages: any of them may be a part of the one meant.
    void flush_page(u64 linear) {
        unsigned kept = 0;
        for (unsigned n = 0; n < filled_count; ++n) {
            const u16 slot = filled[n];
            if (info[slot].linear == linear || (info[slot].flags & tlb_large) != 0)
                clear(slot);
            else
                filled[kept++] = slot;
        }
        filled_count = kept;
    }

    static constexpr unsigned slot_of(u64 linear) { return (linear >> 12) % tlb_entries; }

    /// Does it translate this kind of access (TlbFlag) to `linear`?
    [[nodiscard]] bool translates(u64 linear, u32 kind) const {
        const TlbInfo& i = info[slot_of(linear)];
        return i.linear == (linear & ~u64{4095}) && (i.flags & kind) != 0;
    }

    /// Adds accesses (`flags`, with tlb_global and tlb_large) to `linear`; another page, or the
    /// same one leading elsewhere, is forgotten. `fast_writes`: the tag of writes may be there.
    void insert(u64 linear, u64 host_page, u32 flags, bool fast_writes) {
        const unsigned slot = slot_of(linear);
        const u64 page = linear & ~u64{4095};
        TlbEntry& e = entry[slot];
        TlbInfo& i = info[slot];
        if (i.flags == 0) {
            filled[filled_count++] = static_cast<u16>(slot);
            i.linear = page;
        } else if (i.linear != page || e.page != host_page) {
            clear(slot);
            i.linear = page;
        }
        e.page = host_page;
        i.flags |= flags;
        set_tags(slot, fast_writes);
    }

    void set_tags(unsigned slot, bool fast_writes) {
        const TlbInfo& i = info[slot];
        const u64 none = tlb_no_tag(slot);
        const bool fast = !checked && (i.flags & tlb_watched) == 0;
        TlbEntry& e = entry[slot];
        e.read = (i.flags & tlb_reads) != 0 && fast ? i.linear : none;
        e.write = (i.flags & tlb_writes) != 0 && fast_writes && fast ? i.linear : none;
        e.exec = (i.flags & tlb_executes) != 0 ? i.linear : none;
    }

private:
    void clear(unsigned slot) {
        const u64 none = tlb_no_tag(slot);
        entry[slot] = {none, none, none, 0};
        info[slot] = {none, 0};
    }
};

}  // namespace postern::cpu
