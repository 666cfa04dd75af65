// SPDX-License-Identifier: Apache-2.0
// The page-directory-pointer-table entries that VM entry checks and loads.
#pragma once

#include "cpu/mmu/access.h"
#include "cpu/vmx/vmx.h"

namespace postern::cpu::vmx {

using Pdptes = std::array<u64, 4>;

/// From the VMCS with EPT, otherwise from the table at the guest's CR3. SDM 3C, "Loading
/// Page-Directory-Pointer-Table Entries".
inline Pdptes guest_pdptes(Cpu& c) {
    using F = VmcsField;
    const Vmcs& v = c.vmx.vmcs;
    if (has(v, SecondaryControl::enable_ept))
        return {v.get<F::guest_pdpte0>(), v.get<F::guest_pdpte1>(), v.get<F::guest_pdpte2>(),
                v.get<F::guest_pdpte3>()};
    Pdptes loaded{};
    const u64 table = v.get<F::guest_cr3>() & bit_mask(31, 5);
    for (unsigned n = 0; n < loaded.size(); ++n)
        loaded[n] = read_physical(c, Hpa{table + 8 * n}, 8);
    return loaded;
}

inline bool are_valid_pdptes(const Cpu& c, const Pdptes& entries) {
    for (const u64 entry : entries)
        if ((entry & 1) != 0 && (entry & reserved_in_pdpte(c)) != 0) return false;
    return true;
}

}  // namespace postern::cpu::vmx
