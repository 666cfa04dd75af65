// SPDX-License-Identifier: Apache-2.0
// The MSR areas of an L1, in its memory, carried out on the MSRs that it sees.
#include <cstring>

#include "arch/vmx/msr_area.h"
#include "hv/nested/nested.h"
#include "hv/vcpu.h"

namespace postern::hv {

/// The number of the entry that fails, counted from 1; 0: none does. SDM 3C, "Loading MSRs" of
/// "VM Entries" and of "VM Exits".
u32 Nested::load_msrs(u64 list, u32 count) {
    for (u32 n = 0; n < count; ++n) {
        MsrAreaEntry entry{};
        if (n == capabilities_.misc().msr_list_limit()) return n + 1;
        const u8* const bytes = vcpu_.vm_.bytes_at(Gpa{list + MsrAreaEntry::size * n});
        if (bytes == nullptr) return n + 1;
        std::memcpy(&entry, bytes, sizeof entry);
        if (!entry.may_be_loaded() || !MsrAccess{vcpu_, entry.msr}.write(entry.value)) return n + 1;
    }
    return 0;
}

/// False: an entry fails. The time-stamp counter is the one that L1 sees, not its guest's. SDM 3C,
/// "Saving MSRs".
bool Nested::store_msrs(u64 list, u32 count) {
    for (u32 n = 0; n < count; ++n) {
        MsrAreaEntry entry{};
        if (n == capabilities_.misc().msr_list_limit()) return false;
        const Gpa at{list + MsrAreaEntry::size * n};
        u8* const bytes = vcpu_.vm_.ram_to_change(at, MsrAreaEntry::size);
        if (bytes == nullptr) return false;
        std::memcpy(&entry, bytes, sizeof entry);
        if (!entry.may_be_stored() || !MsrAccess{vcpu_, entry.msr}.read(entry.value)) return false;
        if (static_cast<Msr>(entry.msr) == Msr::tsc) entry.value = vcpu_.tsc_of_l1();
        std::memcpy(bytes, &entry, sizeof entry);
    }
    return true;
}

}  // namespace postern::hv
