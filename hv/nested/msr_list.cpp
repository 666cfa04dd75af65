// SPDX-License-Identifier: Apache-2.0
// The MSR areas of an L1: entries of 16 bytes in its memory, carried out on the MSRs that it sees.
// SDM 3C, "Loading MSRs" of "VM Entries" and "VM Exits", "Saving MSRs".
#include <cstring>

#include "hv/nested/nested.h"
#include "hv/vcpu.h"

namespace postern::hv {
namespace {

constexpr u64 entry_size = 16;

struct Entry {
    u32 msr;
    u32 reserved;
    u64 value;
};
static_assert(sizeof(Entry) == entry_size);

bool is_x2apic(u32 msr) { return msr >> 8 == x2apic_msr_first >> 8; }

/// FS and GS bases come from their fields; a microcode update is no matter of a VM entry.
bool may_load(const Entry& entry) {
    switch (static_cast<Msr>(entry.msr)) {
        case Msr::fs_base:
        case Msr::gs_base:
        case Msr::smm_monitor_ctl:
        case Msr::bios_updt_trig: return false;
        default: return entry.reserved == 0 && !is_x2apic(entry.msr);
    }
}

bool may_store(const Entry& entry) {
    return entry.reserved == 0 && !is_x2apic(entry.msr) &&
           static_cast<Msr>(entry.msr) != Msr::smbase;
}

}  // namespace

/// The number of the entry that fails, counted from 1; 0: none does. What goes beyond the number
/// that IA32_VMX_MISC recommends is undefined, and fails: L1 is not to keep us busy for as long as
/// it likes.
u32 Nested::load_msrs(u64 list, u32 count) {
    for (u32 n = 0; n < count; ++n) {
        Entry entry{};
        if (n == capabilities_.misc().msr_list_limit()) return n + 1;
        const u8* const bytes = vcpu_.vm_.bytes_at(Gpa{list + entry_size * n});
        if (bytes == nullptr) return n + 1;
        std::memcpy(&entry, bytes, sizeof entry);
        if (!may_load(entry) || !MsrAccess{vcpu_, entry.msr}.write(entry.value)) return n + 1;
    }
    return 0;
}

/// False: an entry fails. The time-stamp counter is the one that L1 sees, not its guest's.
bool Nested::store_msrs(u64 list, u32 count) {
    if (count > capabilities_.misc().msr_list_limit()) return false;
    for (u32 n = 0; n < count; ++n) {
        Entry entry{};
        const Gpa at{list + entry_size * n};
        u8* const bytes = vcpu_.vm_.ram_to_change(at, entry_size);
        if (bytes == nullptr) return false;
        std::memcpy(&entry, bytes, sizeof entry);
        if (!may_store(entry) || !MsrAccess{vcpu_, entry.msr}.read(entry.value)) return false;
        if (static_cast<Msr>(entry.msr) == Msr::tsc) entry.value = vcpu_.tsc_of_l1();
        std::memcpy(bytes, &entry, sizeof entry);
    }
    return true;
}

}  // namespace postern::hv
