// SPDX-License-Identifier: Apache-2.0
// 32-bit, PAE, 4-level and 5-level paging over the guest's memory. SDM 3A, "Paging". Of a guest's
// guest each physical address goes through EPT first. SDM 3C, "EPT Translation Mechanism".
#include "hv/memory/guest_walk.h"

#include <cstring>

#include "arch/paging.h"

namespace postern::hv {
namespace {

using Outcome = WalkResult::Outcome;

constexpr unsigned levels_at_most = 5;
constexpr u64 accessed = u64{1} << 5;
constexpr u64 dirty = u64{1} << 6;

/// One access, where its walk has come, and what all levels allow together.
struct Walk {
    const Vm& vm;
    const PagingRegisters& registers;
    const WalkRequest& request;
    std::array<Gpa, levels_at_most + 1> at{};    // as the tables say
    std::array<Gpa, levels_at_most + 1> used{};  // L1's
    std::array<u64, levels_at_most + 1> seen{};
    unsigned highest = 0;  // whose entries have accessed flags
    unsigned entry_size = sizeof(u64);
    bool write = true;
    bool user = true;
    bool execute = true;
    bool has_keys = false;
    SecondLevelFault fault{};

    [[nodiscard]] Outcome translate(Gpa physical, Ept12Access access, bool final, Gpa& to) {
        to = physical;
        const SecondLevel* const ept = registers.second_level;
        if (ept == nullptr) return Outcome::found;
        const Ept12Result l1 = walk_ept12(vm, ept->eptp12, physical, access, ept->rules);
        to = l1.address;
        if (l1.found()) return Outcome::found;
        if (l1.outcome == Ept12Result::Outcome::changed) return Outcome::changed;
        const bool wrong = l1.outcome == Ept12Result::Outcome::misconfiguration;
        fault = {physical, access, wrong, final, l1.permissions};
        return Outcome::second_level_fault;
    }

    /// With flags in L1's EPT accesses to paging structures count as writes. SDM 3C, "Accessed and
    /// Dirty Flags for EPT".
    [[nodiscard]] bool entries_are_written() const {
        return registers.second_level != nullptr &&
               registers.second_level->eptp12.accessed_and_dirty();
    }

    [[nodiscard]] Outcome read_entry(unsigned level, Gpa physical) {
        at[level] = physical;
        const Ept12Access access{.read = true, .write = entries_are_written()};
        const Outcome there = translate(physical, access, false, used[level]);
        if (there != Outcome::found) return there;
        const u8* const bytes = vm.bytes_at(used[level]);
        if (bytes == nullptr) return Outcome::not_in_memory;
        seen[level] = 0;
        std::memcpy(&seen[level], bytes, entry_size);
        const auto entry = PageEntry::from_raw(seen[level]);
        write &= entry.has(PageEntryBit::rw);
        user &= entry.has(PageEntryBit::us);
        execute &= !entry.has(PageEntryBit::nx);
        return Outcome::found;
    }

    /// Of an entry or of the page itself, which was not reached.
    [[nodiscard]] WalkResult ends(Outcome outcome) const {
        WalkResult result{outcome};
        if (outcome == Outcome::second_level_fault) result.second_level = fault;
        return result;
    }
};

WalkResult page_fault(const Walk& w, bool present, bool reserved = false, bool key = false) {
    const PagingRegisters& r = w.registers;
    const bool reports_fetches = r.efer.has(Efer::nxe) || r.cr4.has(Cr4::smep);
    PageFaultError code;
    code.set(PageFaultBit::p, present);
    code.set(PageFaultBit::wr, w.request.access == GuestAccess::write);
    code.set(PageFaultBit::us, w.request.user);
    code.set(PageFaultBit::rsvd, reserved);
    code.set(PageFaultBit::id, w.request.access == GuestAccess::fetch && reports_fetches);
    code.set(PageFaultBit::pk, key);
    return {Outcome::page_fault, {}, code};
}

/// SDM 3A, "Determination of Access Rights".
bool is_permitted(const Walk& w) {
    const PagingRegisters& r = w.registers;
    const bool user = w.request.user;
    if (user && !w.user) return false;
    if (w.request.access == GuestAccess::fetch)
        return w.execute && (user || !w.user || !r.cr4.has(Cr4::smep));
    if (w.request.access == GuestAccess::write && !w.write && (user || r.cr0.has(Cr0::wp)))
        return false;
    return user || !w.user || !r.cr4.has(Cr4::smap) || w.request.alignment_override;
}

/// SDM 3A, "Protection Keys": data of user pages, a supervisor's accesses too.
bool is_permitted_by_key(const Walk& w, u64 leaf) {
    const PagingRegisters& r = w.registers;
    if (!w.has_keys || !r.cr4.has(Cr4::pke) || !w.user) return true;
    if (w.request.access == GuestAccess::fetch) return true;
    const u32 disable = r.pkru >> 2 * protection_key(PageEntry::from_raw(leaf)) & 3;
    if ((disable & 1) != 0) return false;
    if (w.request.access == GuestAccess::read || (disable & 2) == 0) return true;
    return !w.request.user && !r.cr0.has(Cr0::wp);
}

template <class T>
bool replace(u8* bytes, u64 old, u64 value) {
    auto expected = static_cast<T>(old);
    return __atomic_compare_exchange_n(reinterpret_cast<T*>(bytes), &expected,
                                       static_cast<T>(value), false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_SEQ_CST);
}

/// SDM 3A, "Accessed and Dirty Flags": what the entry of `level` still lacks.
u64 missing_flags(const Walk& w, unsigned level, unsigned leaf) {
    const bool dirties = level == leaf && w.request.access == GuestAccess::write;
    return (accessed | (dirties ? dirty : 0)) & ~w.seen[level];
}

/// Entries whose flags are missing will be written, which L1 may forbid.
Outcome ask_for_flags(Walk& w, unsigned leaf) {
    if (w.registers.second_level == nullptr || w.entries_are_written()) return Outcome::found;
    for (unsigned level = w.highest; level >= leaf; --level) {
        if (missing_flags(w, level, leaf) == 0) continue;
        const Ept12Access access{.read = true, .write = true};
        const Outcome there = w.translate(w.at[level], access, false, w.used[level]);
        if (there != Outcome::found) return there;
    }
    return Outcome::found;
}

/// False: somebody changed an entry meanwhile.
bool set_flags(const Walk& w, unsigned leaf) {
    for (unsigned level = w.highest; level >= leaf; --level) {
        const u64 set = missing_flags(w, level, leaf);
        if (set == 0) continue;
        u8* const bytes = w.vm.ram_to_change(w.used[level], w.entry_size);
        if (bytes == nullptr) continue;
        const u64 old = w.seen[level];
        if (w.entry_size == sizeof(u64) ? !replace<u64>(bytes, old, old | set)
                                        : !replace<u32>(bytes, old, old | set))
            return false;
    }
    return true;
}

constexpr Ept12Access page_access(GuestAccess access) {
    return {.read = access == GuestAccess::read,
            .write = access == GuestAccess::write,
            .execute = access == GuestAccess::fetch};
}

WalkResult finish(Walk& w, unsigned level, u64 base, u64 size) {
    const bool key = !is_permitted_by_key(w, w.seen[level]);
    if (key || !is_permitted(w)) return page_fault(w, true, false, key);
    Outcome there = ask_for_flags(w, level);
    if (there != Outcome::found) return w.ends(there);
    Gpa page{base | (w.request.address.raw() & (size - 1))};
    there = w.translate(page, page_access(w.request.access), true, page);
    if (there != Outcome::found) return w.ends(there);
    if (!set_flags(w, level)) return {Outcome::changed};
    return {Outcome::found, page};
}

/// With PAE paging bits 62:52 are reserved; IA-32e paging ignores them or keeps the key there.
bool is_reserved(const Walk& w, PageEntry entry, unsigned level) {
    const PagingRules rules{.max_physical_bits = w.registers.physical_bits,
                            .nxe = w.registers.efer.has(Efer::nxe)};
    const bool pae = !w.registers.efer.has(Efer::lma);
    return has_reserved_bits(entry, level, rules) || (pae && bits<62, 52>(entry.to_raw()) != 0);
}

/// Entries of 8 bytes, from `level` with its table at `table` down to the page.
WalkResult walk_down(Walk& w, u64 table, unsigned level) {
    for (;; --level) {
        const Gpa at{table + sizeof(u64) * linear_index(w.request.address, level)};
        const Outcome there = w.read_entry(level, at);
        if (there != Outcome::found) return w.ends(there);
        const auto entry = PageEntry::from_raw(w.seen[level]);
        if (!entry.has(PageEntryBit::p)) return page_fault(w, false);
        if (is_reserved(w, entry, level)) return page_fault(w, true, true);
        table = page_address(entry, level);
        if (is_page(entry, level)) return finish(w, level, table, page_bytes(level));
    }
}

/// SDM 3A, "PAE Paging": the page-directory-pointer table is in registers, without rights.
WalkResult walk_pae(Walk& w) {
    w.highest = 2;
    const u64 entry = w.registers.pdpte[w.request.address.raw() >> 30 & 3];
    if ((entry & 1) == 0) return page_fault(w, false);
    return walk_down(w, entry & bit_mask(51, 12), 2);
}

/// A 4-MByte page may lie above 4 GiB: bits 39:32 are in 20:13, those the processor lacks and bit
/// 21 reserved.
WalkResult finish_large_32(Walk& w) {
    const u64 entry = w.seen[2];
    const unsigned bits_there = w.registers.physical_bits < 40 ? w.registers.physical_bits : 40;
    if ((entry & bit_mask(21, bits_there - 19)) != 0) return page_fault(w, true, true);
    const u64 base = (entry & bit_mask(31, 22)) | bits<20, 13>(entry) << 32;
    return finish(w, 2, base, u64{4} << 20);
}

/// SDM 3A, "32-Bit Paging".
WalkResult walk_bits32(Walk& w) {
    w.highest = 2;
    w.entry_size = sizeof(u32);
    const u64 linear = w.request.address.raw();
    u64 table = w.registers.cr3 & bit_mask(31, 12);
    Outcome there = w.read_entry(2, Gpa{table + 4 * bits<31, 22>(linear)});
    if (there != Outcome::found) return w.ends(there);
    auto entry = PageEntry::from_raw(w.seen[2]);
    if (!entry.has(PageEntryBit::p)) return page_fault(w, false);
    if (entry.has(PageEntryBit::ps) && w.registers.cr4.has(Cr4::pse)) return finish_large_32(w);
    table = entry.to_raw() & bit_mask(31, 12);
    there = w.read_entry(1, Gpa{table + 4 * bits<21, 12>(linear)});
    if (there != Outcome::found) return w.ends(there);
    entry = PageEntry::from_raw(w.seen[1]);
    if (!entry.has(PageEntryBit::p)) return page_fault(w, false);
    return finish(w, 1, entry.to_raw() & bit_mask(31, 12), page_size);
}

/// SDM 3A, "4-Level Paging and 5-Level Paging".
WalkResult walk_ia32e(Walk& w) {
    w.highest = w.registers.cr4.has(Cr4::la57) ? 5 : 4;
    w.has_keys = true;
    if (!is_canonical(w.request.address, w.highest == 5 ? 57 : 48)) return {Outcome::not_canonical};
    return walk_down(w, cr3_table(w.registers.cr3), w.highest);
}

/// Without paging linear addresses are physical ones.
WalkResult walk_nothing(Walk& w) {
    Gpa page{w.request.address.raw()};
    const Outcome there = w.translate(page, page_access(w.request.access), true, page);
    if (there != Outcome::found) return w.ends(there);
    return {Outcome::found, page};
}

}  // namespace

WalkResult walk(const Vm& vm, const PagingRegisters& registers, const WalkRequest& request) {
    Walk w{.vm = vm, .registers = registers, .request = request};
    if (!registers.cr0.has(Cr0::pg)) return walk_nothing(w);
    if (registers.efer.has(Efer::lma)) return walk_ia32e(w);
    return registers.cr4.has(Cr4::pae) ? walk_pae(w) : walk_bits32(w);
}

size_t fetch_guest(const Vm& vm, const PagingRegisters& registers, Gva address, bool user,
                   u8* bytes, size_t wanted) {
    size_t have = 0;
    while (have < wanted) {
        const Gva at = address + have;
        const WalkResult physical =
            walk(vm, registers, {.address = at, .access = GuestAccess::fetch, .user = user});
        const u8* const source = physical.found() ? vm.bytes_at(physical.address) : nullptr;
        if (source == nullptr) return have;
        const size_t in_page = page_size - at.offset();
        const size_t count = in_page < wanted - have ? in_page : wanted - have;
        std::memcpy(bytes + have, source, count);
        have += count;
    }
    return have;
}

}  // namespace postern::hv
