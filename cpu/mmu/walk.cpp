// SPDX-License-Identifier: Apache-2.0
// Linear to guest-physical addresses: 32-bit, PAE and 4-level paging. Every entry on the way lies
// at a guest-physical address itself (ept.h). Every failure is left pending; A and D flags are set
// once nothing can fail any more.
#include "arch/exception.h"
#include "arch/paging.h"
#include "cpu/event/event.h"
#include "cpu/exec/address.h"
#include "cpu/mmu/ept.h"

namespace postern::cpu {
namespace {

constexpr unsigned top_level = 4;

bool is_user(const Cpu& c, Accessor as) { return as == Accessor::current && c.cpl == 3; }

enum class PagingMode : u8 { none, bits32, pae, level4 };

PagingMode paging_mode(const Cpu& c) {
    if (!c.cr0.has(Cr0::pg)) return PagingMode::none;
    if (c.efer.has(Efer::lma)) return PagingMode::level4;
    return c.cr4.has(Cr4::pae) ? PagingMode::pae : PagingMode::bits32;
}

/// What all levels of a walk allow together; the leaf's key.
struct Rights {
    bool write = true;
    bool user = true;
    bool execute = true;
    unsigned key = 0;
};

/// One access, and where its walk has come.
struct Walk {
    Gva linear;
    Access access;
    Accessor as;
    PagingMode mode = PagingMode::level4;
    std::array<Gpa, top_level + 1> used{};  // the entries of each level
    std::array<u64, top_level + 1> seen{};  // and what was in them
    unsigned highest = top_level;           // whose entries have accessed flags
    unsigned entry_size = 8;
    Rights rights{};

    void restrict(PageEntry entry) {
        rights.write &= entry.has(PageEntryBit::rw);
        rights.user &= entry.has(PageEntryBit::us);
        rights.execute &= !entry.has(PageEntryBit::nx);
    }
};

struct FaultKind {
    bool present = true;
    bool reserved = false;
    bool key = false;
};

Failed fault(Cpu& c, const Walk& w, FaultKind kind) {
    PageFaultError code;
    code.set(PageFaultBit::p, kind.present);
    code.set(PageFaultBit::wr, w.access == Access::write);
    code.set(PageFaultBit::us, is_user(c, w.as));
    code.set(PageFaultBit::rsvd, kind.reserved);
    code.set(PageFaultBit::id, w.access == Access::execute && reports_fetches(c));
    code.set(PageFaultBit::pk, kind.key);
    return raise_page_fault(c, w.linear.raw(), code.to_raw());
}

/// SDM 3A, "Determination of Access Rights".
bool permitted(const Cpu& c, const Walk& w) {
    const Rights& rights = w.rights;
    const bool user = is_user(c, w.as);
    if (user && !rights.user) return false;
    switch (w.access) {
        case Access::execute:
            return rights.execute && (user || !rights.user || !c.cr4.has(Cr4::smep));
        case Access::write:
            if (!rights.write && (user || c.cr0.has(Cr0::wp))) return false;
            break;
        case Access::read: break;
    }
    // SMAP: implicit accesses are refused whatever AC says.
    const bool alignment_override = w.as == Accessor::current && c.flags.has(Rflag::ac);
    return user || !rights.user || !c.cr4.has(Cr4::smap) || alignment_override;
}

/// Keys govern data accesses to user pages, a supervisor's too. SDM 3A, "Protection Keys".
bool permitted_by_key(const Cpu& c, const Walk& w) {
    if (w.mode != PagingMode::level4 || !c.cr4.has(Cr4::pke)) return true;
    if (!w.rights.user || w.access == Access::execute) return true;
    const u32 disable = c.pkru >> (2 * w.rights.key) & 3;
    if ((disable & 1) != 0) return false;
    if (w.access == Access::read || (disable & 2) == 0) return true;
    return !is_user(c, w.as) && !c.cr0.has(Cr0::wp);
}

/// Where the entry of `level` is.
Result<Hpa> find_entry(Cpu& c, const Walk& w, unsigned level, EptUse use = EptUse::entry) {
    return translate_physical(c, {.physical = w.used[level], .use = use, .linear = w.linear});
}

/// Accessed in every entry used, dirty in the leaf of a write. SDM 3A, "Accessed and Dirty
/// Flags". Setting one is a write to guest-physical memory, which EPT may refuse. Entries that had
/// theirs when the walk came by need no second look: nothing clears a flag in between.
Result<> set_accessed(Cpu& c, const Walk& w, unsigned leaf) {
    for (unsigned level = w.highest; level >= leaf; --level) {
        const bool dirty = level == leaf && w.access == Access::write;
        const u64 set = u64{1} << 5 | u64{dirty} << 6;
        if ((w.seen[level] & set) == set) continue;
        const Hpa at = TRY(find_entry(c, w, level, EptUse::entry_flags));
        const u64 old = read_physical(c, at, w.entry_size);
        if ((old & set) != set) write_physical(c, at, w.entry_size, old | set);
    }
    return Done{};
}

/// The end of every walk: rights, flags, the address.
Result<> finish(Cpu& c, const Walk& w, PageEntry entry, unsigned level, u64 base, u64 size,
                Translation& found) {
    // SDM 3A, "Interrupt 14: Page-Fault Exception (#PF)": PK tells of the key whatever else
    // forbids.
    const bool key = !permitted_by_key(c, w);
    if (key || !permitted(c, w)) return fault(c, w, {.key = key});
    TRY(set_accessed(c, w, level));
    found.guest_physical = Gpa{base | (w.linear.raw() & (size - 1))};
    if (entry.has(PageEntryBit::g) && c.cr4.has(Cr4::pge)) found.flags |= tlb_global;
    if (size > page_size) found.flags |= tlb_large;
    return Done{};
}

/// With PAE paging bits 62:52 are reserved; IA-32e paging ignores them or keeps the key there.
bool has_pae_reserved_bits(const Walk& w, PageEntry entry) {
    return w.mode == PagingMode::pae && bits<62, 52>(entry.to_raw()) != 0;
}

/// From `level` with its table at `table` down to the page; entries of 8 bytes. SDM 3A,
/// "Linear-Address Translation with 4-Level Paging", "PAE Paging".
Result<> walk_down(Cpu& c, Walk& w, u64 table, unsigned level, Translation& found) {
    const PagingRules rules{.max_physical_bits = c.system->physical_bits,
                            .nxe = c.efer.has(Efer::nxe)};
    for (;; --level) {
        w.used[level] = Gpa{table + 8 * u64{linear_index(w.linear, level)}};
        const Hpa at = TRY(find_entry(c, w, level));
        w.seen[level] = read_physical(c, at, 8);
        const auto entry = PageEntry::from_raw(w.seen[level]);
        if (!entry.has(PageEntryBit::p)) return fault(c, w, {.present = false});
        if (has_reserved_bits(entry, level, rules) || has_pae_reserved_bits(w, entry))
            return fault(c, w, {.reserved = true});
        w.restrict(entry);
        if (!is_page(entry, level)) {
            table = page_address(entry, level);
            continue;
        }
        w.rights.key = protection_key(entry);
        return finish(c, w, entry, level, page_address(entry, level), page_bytes(level), found);
    }
}

/// SDM 3A, "PAE Paging": the page-directory-pointer table is in registers, without rights.
Result<> walk_pae(Cpu& c, Walk& w, Translation& found) {
    w.highest = 2;
    const u64 entry = c.pdpte[w.linear.raw() >> 30 & 3];
    if ((entry & 1) == 0) return fault(c, w, {.present = false});
    return walk_down(c, w, entry & bit_mask(51, 12), 2, found);
}

constexpr u64 large_page_32 = u64{4} << 20;

/// A 4-MByte page may lie above 4 GiB: bits 39:32 are in 20:13 (PSE-36), bit 21 is reserved.
u64 large_address_32(u64 entry) { return (entry & bit_mask(31, 22)) | bits<20, 13>(entry) << 32; }
/// As are those of 20:13 whose address bits the processor lacks.
u64 large_reserved_32(const Cpu& c) {
    return bit_mask(21, std::min(40U, c.system->physical_bits) - 19);
}

/// SDM 3A, "32-Bit Paging".
Result<> walk_bits32(Cpu& c, Walk& w, Translation& found) {
    w.highest = 2;
    w.entry_size = 4;
    const u64 linear = w.linear.raw();
    w.used[2] = Gpa{(c.cr3 & bit_mask(31, 12)) + 4 * bits<31, 22>(linear)};
    Hpa at = TRY(find_entry(c, w, 2));
    w.seen[2] = read_physical(c, at, 4);
    auto entry = PageEntry::from_raw(w.seen[2]);
    if (!entry.has(PageEntryBit::p)) return fault(c, w, {.present = false});
    w.restrict(entry);
    if (entry.has(PageEntryBit::ps) && c.cr4.has(Cr4::pse)) {
        if ((entry.to_raw() & large_reserved_32(c)) != 0) return fault(c, w, {.reserved = true});
        return finish(c, w, entry, 2, large_address_32(entry.to_raw()), large_page_32, found);
    }
    w.used[1] = Gpa{(entry.to_raw() & bit_mask(31, 12)) + 4 * bits<21, 12>(linear)};
    at = TRY(find_entry(c, w, 1));
    w.seen[1] = read_physical(c, at, 4);
    entry = PageEntry::from_raw(w.seen[1]);
    if (!entry.has(PageEntryBit::p)) return fault(c, w, {.present = false});
    w.restrict(entry);
    return finish(c, w, entry, 1, entry.to_raw() & bit_mask(31, 12), page_size, found);
}

Result<> walk_level4(Cpu& c, Walk& w, Translation& found) {
    if (c.cr4.has(Cr4::la57)) return raise_unimplemented(c, "5-level paging");
    // SDM 3A, "Interrupt 13: General Protection Exception (#GP)": not canonical. Through SS it is
    // #SS; the stack instructions ask for that themselves.
    if (!is_canonical(c, w.linear.raw())) return general_protection(c);
    return walk_down(c, w, cr3_table(c.cr3), top_level, found);
}

Result<> walk_paging(Cpu& c, Walk& w, Translation& found) {
    w.mode = paging_mode(c);
    switch (w.mode) {
        case PagingMode::none: found.guest_physical = Gpa{w.linear.raw()}; return Done{};
        case PagingMode::bits32: return walk_bits32(c, w, found);
        case PagingMode::pae: return walk_pae(c, w, found);
        case PagingMode::level4: return walk_level4(c, w, found);
    }
    return Done{};
}

}  // namespace

Result<> find_translation(Cpu& c, Gva linear, Access access, Accessor as, Translation& found) {
    Walk w{.linear = linear, .access = access, .as = as};
    TRY(walk_paging(c, w, found));
    found.address = TRY(translate_physical(c, {.physical = found.guest_physical,
                                               .use = EptUse::translation,
                                               .access = access,
                                               .linear = linear,
                                               .user = w.rights.user,
                                               .writable = w.rights.write,
                                               .executable = w.rights.execute}));
    return Done{};
}

Result<> load_pdptes(Cpu& c, u64 cr3) {
    const u64 table = cr3 & bit_mask(31, 5);
    const u64 reserved = reserved_in_pdpte(c);
    std::array<u64, 4> loaded{};
    for (unsigned n = 0; n < loaded.size(); ++n) {
        const Hpa at =
            TRY(translate_physical(c, {.physical = Gpa{table + 8 * n}, .use = EptUse::pdpte}));
        loaded[n] = read_physical(c, at, 8);
        if ((loaded[n] & 1) != 0 && (loaded[n] & reserved) != 0) return general_protection(c);
    }
    c.pdpte = loaded;
    return Done{};
}

}  // namespace postern::cpu
