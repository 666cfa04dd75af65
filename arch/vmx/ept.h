// SPDX-License-Identifier: Apache-2.0
// EPT entries and the EPT pointer. Levels count from 1 (the table of 4-KByte pages) to 4 or 5.
#pragma once

#include "arch/msr.h"
#include "arch/paging.h"
#include "arch/vmx/capability.h"
#include "arch/vmx/raw_view.h"

namespace postern {

/// SDM 3C, "EPT Translation Mechanism", tables of the entries' formats.
enum class EptBit : u8 {
    read = 0,
    write = 1,
    execute = 2,
    ignore_pat = 6,
    leaf = 7,
    accessed = 8,
    dirty = 9,
    user_execute = 10,
    verify_guest_paging = 57,
    paging_write = 58,
    supervisor_shadow_stack = 60,
    sub_page_write = 61,
    suppress_ve = 63,
};
using EptFlags = FlagWord<EptBit>;

inline constexpr u64 ept_rwx = EptFlags{EptBit::read, EptBit::write, EptBit::execute}.to_raw();

class EptEntry : public RawView<EptEntry, u64> {
public:
    [[nodiscard]] constexpr EptFlags flags() const { return EptFlags::from_raw(to_raw()); }
    [[nodiscard]] constexpr bool has(EptBit wanted) const { return flags().has(wanted); }
    /// Bits 2:0.
    [[nodiscard]] constexpr unsigned permissions() const { return field<2, 0>(); }
    /// Without mode-based execute control.
    [[nodiscard]] constexpr bool present() const { return permissions() != 0; }
    [[nodiscard]] constexpr bool is_leaf(unsigned level) const {
        return level == 1 || (level <= 3 && has(EptBit::leaf));
    }
    [[nodiscard]] constexpr MemoryType memory_type() const {
        return static_cast<MemoryType>(field<5, 3>());
    }
    /// Of the next table, or of the page if this is a leaf of `level`.
    [[nodiscard]] constexpr u64 address(unsigned level, unsigned max_physical_bits = 52) const {
        const unsigned low = is_leaf(level) ? page_shift(level) : 12;
        return to_raw() & bit_mask(max_physical_bits - 1, low);
    }

    static constexpr EptEntry table(u64 address, EptFlags permissions) {
        return from_raw(address | permissions.to_raw());
    }
    static constexpr EptEntry page(unsigned level, u64 address, EptFlags permissions,
                                   MemoryType type) {
        return from_raw(address | permissions.to_raw() | u64{static_cast<u8>(type)} << 3 |
                        (level > 1 ? u64{1} << static_cast<unsigned>(EptBit::leaf) : 0));
    }
    [[nodiscard]] constexpr EptEntry with(EptBit which, bool on = true) const {
        return from_raw(flags().with(which, on).to_raw());
    }
};

/// Bits that must be 0 in a present entry. SDM 3C, "EPT Misconfigurations".
constexpr u64 ept_reserved_mask(EptEntry entry, unsigned level, unsigned max_physical_bits,
                                bool one_gib_pages) {
    const u64 mask = max_physical_bits < 52 ? bit_mask(51, max_physical_bits) : 0;
    if (level >= 4) return mask | bit_mask(7, 3);
    if (level == 3 && !one_gib_pages) return mask | bit_mask(7, 3);
    if (!entry.is_leaf(level)) return mask | bit_mask(6, 3);
    return level == 1 ? mask : mask | bit_mask(page_shift(level) - 1, 12);
}

/// What of a processor decides whether an entry is misconfigured.
struct EptRules {
    bool execute_only_supported = true;
    unsigned max_physical_bits = 52;
    bool one_gib_pages = true;
    bool mode_based_execute = false;
};

/// An EPT misconfiguration. SDM 3C, "EPT Misconfigurations". A non-present entry is none.
constexpr bool is_ept_misconfigured(u64 raw, unsigned level, const EptRules& rules) {
    const auto entry = EptEntry::from_raw(raw);
    const bool executable =
        entry.has(EptBit::execute) || (rules.mode_based_execute && entry.has(EptBit::user_execute));
    const bool readable = entry.has(EptBit::read);
    if (!readable && !entry.has(EptBit::write) && !executable) return false;
    if (!readable && entry.has(EptBit::write)) return true;
    if (!readable && !rules.execute_only_supported) return true;
    if ((raw & ept_reserved_mask(entry, level, rules.max_physical_bits, rules.one_gib_pages)) != 0)
        return true;
    const auto type = static_cast<u8>(entry.memory_type());
    return entry.is_leaf(level) && (type == 2 || type == 3 || type == 7);
}

constexpr bool is_ept_misconfigured(u64 raw, unsigned level, bool execute_only_supported,
                                    unsigned max_physical_bits) {
    return is_ept_misconfigured(
        raw, level,
        {.execute_only_supported = execute_only_supported, .max_physical_bits = max_physical_bits});
}

/// The EPT pointer. SDM 3C, "Extended-Page-Table Pointer (EPTP)".
class Eptp : public RawView<Eptp, u64> {
public:
    [[nodiscard]] constexpr MemoryType memory_type() const {
        return static_cast<MemoryType>(field<2, 0>());
    }
    [[nodiscard]] constexpr unsigned levels() const { return field<5, 3>() + 1; }
    [[nodiscard]] constexpr bool accessed_and_dirty() const { return flag<6>(); }
    [[nodiscard]] constexpr bool supervisor_shadow_stack_control() const { return flag<7>(); }
    [[nodiscard]] constexpr u64 root() const { return to_raw() & bit_mask(51, 12); }
    /// Bits 11:8 and those above the physical-address width.
    [[nodiscard]] constexpr bool has_reserved_bits(unsigned max_physical_bits) const {
        return (to_raw() & (bit_mask(11, 8) | bit_mask(63, max_physical_bits))) != 0;
    }

    static constexpr Eptp of(u64 root, MemoryType type = MemoryType::wb, unsigned levels = 4,
                             bool accessed_and_dirty = false) {
        return from_raw(root | u64{static_cast<u8>(type)} | u64{levels - 1} << 3 |
                        u64{accessed_and_dirty} << 6);
    }
};

// What VM entry and INVEPT ask of an EPT pointer. SDM 3C, "VM-Execution Control Fields".

constexpr bool has_valid_type(Eptp eptp, EptVpidCapabilities offered) {
    return (eptp.memory_type() == MemoryType::wb &&
            offered.has(EptVpidCapability::memory_type_wb)) ||
           (eptp.memory_type() == MemoryType::uc && offered.has(EptVpidCapability::memory_type_uc));
}
constexpr bool has_valid_levels(Eptp eptp, EptVpidCapabilities offered) {
    return (eptp.levels() == 4 && offered.has(EptVpidCapability::page_walk_4)) ||
           (eptp.levels() == 5 && offered.has(EptVpidCapability::page_walk_5));
}
constexpr bool has_valid_shadow_stacks(Eptp eptp, EptVpidCapabilities offered) {
    return !eptp.supervisor_shadow_stack_control() ||
           offered.has(EptVpidCapability::supervisor_shadow_stack);
}
/// The bit of accessed and dirty flags is reserved where there are none.
constexpr bool has_only_defined_bits(Eptp eptp, EptVpidCapabilities offered,
                                     unsigned max_physical_bits) {
    return !eptp.has_reserved_bits(max_physical_bits) &&
           (!eptp.accessed_and_dirty() || offered.has(EptVpidCapability::accessed_and_dirty));
}
constexpr bool is_valid_ept_pointer(Eptp eptp, EptVpidCapabilities offered,
                                    unsigned max_physical_bits) {
    return has_valid_type(eptp, offered) && has_valid_levels(eptp, offered) &&
           has_valid_shadow_stacks(eptp, offered) &&
           has_only_defined_bits(eptp, offered, max_physical_bits);
}

}  // namespace postern
