// SPDX-License-Identifier: Apache-2.0
// The software TLB: linear pages to host pointers. Which array is used stands for the address space
// (cpu/mmu/space.h), privilege and enclave context, which tag matches stands for the kind of
// access. What it holds is visible to software (tables changed without a flush), so it is a
// function of the instructions executed and of nothing else: not of how blocks were cut, linked or
// kept.
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
    tlb_watched = 32,  // by the debugger: no data tag is ever there
    tlb_listed = 64    // in Tlb::filled, whether it holds anything or not
};

struct TlbInfo {
    u64 linear;  // of the page; meaningful if `flags` has any access
    u32 flags;
};

/// A tag that no address of `slot` can hit: it is not canonical and belongs to another slot.
constexpr u64 tlb_no_tag(unsigned slot) {
    return u64{1} << 62 | u64{(slot + 1) % tlb_entries} << 12;
}

/// One array of translations. Filled slots are noted, so that a flush costs no more than the
/// fills since the last one: every enclave entry and exit flushes.
struct alignas(64) Tlb {
    std::array<TlbEntry, tlb_entries> entry;
    std::array<TlbInfo, tlb_entries> info;
    std::array<u16, tlb_entries> filled;
    u32 filled_count;
    bool checked;  // every data access is looked at by itself: no data tag is ever there
    // What is not in these sets is nowhere in the array; they may say too much.
    u64 large_regions;              // GiB with parts of large pages
    std::array<u64, 16> stored_to;  // host pages with a tag of writes

    void reset() {
        for (unsigned slot = 0; slot < tlb_entries; ++slot) clear(slot);
        filled_count = 0;
        forget_sets();
    }
    void flush() {
        if (filled_count == 0) return;
        for (unsigned n = 0; n < filled_count; ++n) clear(filled[n]);
        filled_count = 0;
        forget_sets();
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
    /// The page, and all parts of large pages in its GiB: any of them may be a part of the one
    /// meant.
    void flush_page(u64 linear) {
        if (filled_count == 0) return;
        const unsigned slot = slot_of(linear);
        if (info[slot].linear == linear) empty(slot);
        if ((large_regions & region_bit(linear)) != 0) flush_large(linear >> 30);
    }
    /// From now on stores to the host page come by the slow path.
    void withhold_writes(u64 host_page) {
        if ((stored_to[set_word(host_page)] & set_bit(host_page)) == 0) return;
        stored_to = {};
        for (unsigned n = 0; n < filled_count; ++n) {
            const unsigned slot = filled[n];
            const bool stores =
                (info[slot].flags & tlb_writes) != 0 && entry[slot].write == info[slot].linear;
            if (stores) set_tags(slot, entry[slot].page != host_page);
        }
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
        if ((i.flags & tlb_listed) == 0) filled[filled_count++] = static_cast<u16>(slot);
        if (i.linear != page || e.page != host_page) clear(slot);
        i.linear = page;
        e.page = host_page;
        i.flags |= flags | tlb_listed;
        if ((flags & tlb_large) != 0) large_regions |= region_bit(page);
        set_tags(slot, fast_writes);
    }

    void set_tags(unsigned slot, bool fast_writes) {
        const TlbInfo& i = info[slot];
        const u64 none = tlb_no_tag(slot);
        const bool fast = !checked && (i.flags & tlb_watched) == 0;
        const bool writes = (i.flags & tlb_writes) != 0 && fast_writes && fast;
        TlbEntry& e = entry[slot];
        e.read = (i.flags & tlb_reads) != 0 && fast ? i.linear : none;
        e.write = writes ? i.linear : none;
        e.exec = (i.flags & tlb_executes) != 0 ? i.linear : none;
        if (writes) stored_to[set_word(e.page)] |= set_bit(e.page);
    }

private:
    static constexpr u64 region_bit(u64 linear) { return u64{1} << (linear >> 30) % 64; }
    static constexpr unsigned set_word(u64 host_page) { return (host_page >> 18) % 16; }
    static constexpr u64 set_bit(u64 host_page) { return u64{1} << (host_page >> 12) % 64; }

    void forget_sets() {
        large_regions = 0;
        stored_to = {};
    }
    void flush_large(u64 gib) {
        for (unsigned n = 0; n < filled_count; ++n) {
            const unsigned slot = filled[n];
            if ((info[slot].flags & tlb_large) != 0 && info[slot].linear >> 30 == gib) empty(slot);
        }
    }
    /// Nothing is there, but the slot stays in the list.
    void empty(unsigned slot) {
        clear(slot);
        info[slot].flags = tlb_listed;
    }
    void clear(unsigned slot) {
        const u64 none = tlb_no_tag(slot);
        entry[slot] = {none, none, none, 0};
        info[slot] = {none, 0};
    }
};

}  // namespace postern::cpu
