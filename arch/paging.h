// SPDX-License-Identifier: Apache-2.0
// 4-level and 5-level paging: entries, indices, reserved bits, canonical addresses, CR3. Levels
// count from 1 (the page table) to 4 (PML4) or 5 (PML5).
#pragma once

#include "base/address.h"
#include "base/bits.h"
#include "base/flag_word.h"

namespace postern {

/// SDM 3A, "4-Level Paging and 5-Level Paging", tables of the entries' formats. `pat` of a
/// 4-KByte page stands where `ps` stands elsewhere; large pages have it at `large_pat`.
enum class PageEntryBit : u8 {
    p = 0,
    rw = 1,
    us = 2,
    pwt = 3,
    pcd = 4,
    a = 5,
    d = 6,
    ps = 7,
    pat = 7,
    g = 8,
    restart = 11,
    large_pat = 12,
    nx = 63,
};
using PageEntry = FlagWord<PageEntryBit>;

inline constexpr unsigned page_table_entry_count = 512;

/// log2 of what one entry of `level` maps.
constexpr unsigned page_shift(unsigned level) { return 12 + 9 * (level - 1); }

constexpr u64 page_bytes(unsigned level) { return u64{1} << page_shift(level); }

/// Which entry of the `level` table translates `address`. For EPT too.
constexpr unsigned linear_index(u64 address, unsigned level) {
    return static_cast<unsigned>(address >> page_shift(level) & 0x1ff);
}
template <class Space>
constexpr unsigned linear_index(Address<Space> address, unsigned level) {
    return linear_index(address.raw(), level);
}

/// The entry maps a page: a leaf. Of `level` 4 and 5 none is.
constexpr bool is_page(PageEntry entry, unsigned level) {
    return level == 1 || (level <= 3 && entry.has(PageEntryBit::ps));
}

/// The address field of an entry that points to a table, or maps a page of `level`.
constexpr u64 page_address_mask(unsigned level, unsigned max_physical_bits, bool leaf) {
    return bit_mask(max_physical_bits - 1, leaf ? page_shift(level) : 12);
}
constexpr u64 page_address(PageEntry entry, unsigned level, unsigned max_physical_bits = 52) {
    return entry.to_raw() & page_address_mask(level, max_physical_bits, is_page(entry, level));
}

/// 63:52 without XD are ignored; 62:59 are the protection key.
constexpr unsigned protection_key(PageEntry entry) {
    return static_cast<unsigned>(bits<62, 59>(entry.to_raw()));
}

/// What of a processor and its mode decides about reserved bits.
struct PagingRules {
    unsigned max_physical_bits = 52;
    bool nxe = true;            // IA32_EFER.NXE
    bool one_gib_pages = true;  // CPUID.80000001H:EDX.Page1GB
};

/// Bits that fault (#PF, RSVD) if set in a present entry.
constexpr u64 page_reserved_mask(PageEntry entry, unsigned level, const PagingRules& rules) {
    constexpr u64 ps = u64{1} << static_cast<unsigned>(PageEntryBit::ps);
    u64 mask = rules.max_physical_bits < 52 ? bit_mask(51, rules.max_physical_bits) : 0;
    if (!rules.nxe) mask |= u64{1} << static_cast<unsigned>(PageEntryBit::nx);
    if (level >= 4 || (level == 3 && !rules.one_gib_pages)) return mask | ps;
    if (level > 1 && is_page(entry, level)) mask |= bit_mask(page_shift(level) - 1, 13);
    return mask;
}

constexpr bool has_reserved_bits(PageEntry entry, unsigned level, const PagingRules& rules) {
    return (entry.to_raw() & page_reserved_mask(entry, level, rules)) != 0;
}

/// Bits that must be 0 in a present page-directory-pointer-table entry of PAE paging. SDM 3A, "PAE
/// Paging".
constexpr u64 pdpte_reserved_mask(unsigned physical_bits) {
    return bit_mask(63, physical_bits) | bit_mask(8, 5) | bit_mask(2, 1);
}

/// All bits from `linear_bits` - 1 up are equal. SDM 1, "Canonical Addressing". 48 or 57.
constexpr bool is_canonical(u64 address, unsigned linear_bits = 48) {
    const unsigned shift = 64 - linear_bits;
    return static_cast<u64>(static_cast<i64>(address << shift) >> shift) == address;
}
constexpr bool is_canonical(Gva address, unsigned linear_bits = 48) {
    return is_canonical(address.raw(), linear_bits);
}

/// SDM 3A, "Control Registers", CR3; bit 63 is of MOV to CR3's operand only.
inline constexpr u64 cr3_pcid_mask = 0xfff;
inline constexpr u64 cr3_pwt = u64{1} << 3;
inline constexpr u64 cr3_pcd = u64{1} << 4;
inline constexpr u64 cr3_no_flush = u64{1} << 63;
constexpr u64 cr3_table(u64 cr3) { return cr3 & bit_mask(51, 12); }

/// Bits of CR3 that must be 0.
constexpr u64 cr3_reserved_mask(unsigned max_physical_bits) {
    return bit_mask(63, max_physical_bits);
}

}  // namespace postern
