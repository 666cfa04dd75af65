// SPDX-License-Identifier: Apache-2.0
// The software TLB: linear pages to host pointers. Which array is used stands for privilege and
// enclave context, which tag matches stands for the kind of access.
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

/// A tag that no address of `slot` can hit: it is not canonical and belongs to another slot.
constexpr u64 tlb_no_tag(unsigned slot) {
    return u64{1} << 62 | u64{(slot + 1) % tlb_entries} << 12;
}

/// One context's translations. Filled slots are noted, so that a flush costs no more than the
/// fills since the last one: every enclave entry and exit flushes.
struct Tlb {
    std::array<TlbEntry, tlb_entries> entry;
    std::array<u16, tlb_entries> filled;
    u32 filled_count;

    void reset() {
        for (unsigned slot = 0; slot < tlb_entries; ++slot) clear(slot);
        filled_count = 0;
    }
    void flush() {
        for (unsigned n = 0; n < filled_count; ++n) clear(filled[n]);
        filled_count = 0;
    }

    static constexpr unsigned slot_of(u64 linear) { return (linear >> 12) % tlb_entries; }

    /// The slot for `linear`, noted as filled (page != 0 says so; the caller sets it); whatever
    /// other page it held is forgotten.
    TlbEntry& claim(u64 linear) {
        const unsigned slot = slot_of(linear);
        TlbEntry& e = entry[slot];
        const u64 none = tlb_no_tag(slot);
        const u64 page = linear & ~u64{4095};
        if (e.page == 0) filled[filled_count++] = static_cast<u16>(slot);
        const bool other = (e.read != none && e.read != page) ||
                           (e.write != none && e.write != page) ||
                           (e.exec != none && e.exec != page);
        if (other) e.read = e.write = e.exec = none;
        return e;
    }

private:
    void clear(unsigned slot) {
        const u64 none = tlb_no_tag(slot);
        entry[slot] = {none, none, none, 0};
    }
};

}  // namespace postern::cpu
