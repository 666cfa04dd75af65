// SPDX-License-Identifier: Apache-2.0
// The page-directory-pointer-table entries that VM entry checks and loads.
#pragma once

#include <algorithm>
#include <array>

#include "arch/paging.h"
#include "arch/vmx/entry_checks/check.h"

namespace postern::vm_entry {

using Pdptes = std::array<u64, 4>;

/// SDM 3C, "Checks on Guest Page-Directory-Pointer-Table Entries".
constexpr bool is_pae_guest(const EntryView auto& v) {
    return guest_cr0(v).has(Cr0::pg) && guest_cr4(v).has(Cr4::pae) && !is_ia32e_guest(v);
}

/// From the VMCS with EPT, otherwise from the table at the guest's CR3. SDM 3C, "Loading
/// Page-Directory-Pointer-Table Entries".
constexpr Pdptes guest_pdptes(const EntryView auto& v) {
    using F = VmcsField;
    if (has(v, SecondaryControl::enable_ept))
        return {get<F::guest_pdpte0>(v), get<F::guest_pdpte1>(v), get<F::guest_pdpte2>(v),
                get<F::guest_pdpte3>(v)};
    Pdptes loaded{};
    const u64 table = get<F::guest_cr3>(v) & bit_mask(31, 5);
    for (unsigned n = 0; n < loaded.size(); ++n) loaded[n] = v.read_u64(table + u64{8} * n);
    return loaded;
}

constexpr bool are_valid_pdptes(const EntryView auto& v, const Pdptes& entries) {
    const u64 reserved = pdpte_reserved_mask(v.physical_bits());
    return std::ranges::none_of(
        entries, [&](u64 entry) { return (entry & 1) != 0 && (entry & reserved) != 0; });
}

/// The manual lets a VM entry that changes neither paging mode nor CR3 skip the table in memory;
/// this one never does.
template <EntryView View>
struct PdpteChecks {
    using Check = EntryCheck<View>;

    static constexpr std::array rows{
        Check{title::pdptes, "without EPT, present PDPTEs in the table at guest CR3 are valid",
              [](const View& v) {
                  return !is_pae_guest(v) || has(v, SecondaryControl::enable_ept) ||
                         are_valid_pdptes(v, guest_pdptes(v));
              },
              EntryFailureQualification::pdpte},
        Check{title::pdptes, "with EPT, present PDPTEs in the guest-state area are valid",
              [](const View& v) {
                  return !is_pae_guest(v) || !has(v, SecondaryControl::enable_ept) ||
                         are_valid_pdptes(v, guest_pdptes(v));
              },
              EntryFailureQualification::pdpte},
    };
};

}  // namespace postern::vm_entry
