// SPDX-License-Identifier: Apache-2.0
// Guest-physical to physical addresses: EPT with its accessed and dirty flags and the
// page-modification log. What is in the TLB has been here; linear addresses are walk.cpp's.
#pragma once

#include "arch/vmx/exit_qualification.h"
#include "cpu/mmu/access.h"

namespace postern::cpu {

/// What lies at a guest-physical address that is accessed.
enum class EptUse : u8 {
    translation,  // what a linear address leads to
    entry,        // a paging-structure entry, read so that the walk can go on
    entry_flags,  // such an entry, of which accessed or dirty flags are being set
    pdpte,        // an entry that MOV to CR loads into a PDPTE register
};

struct GuestAccess {
    Gpa physical{};
    EptUse use = EptUse::translation;
    Access access = Access::read;  // of a translation
    Gva linear{};                  // of none for a PDPTE
    // What paging allows at `linear`: all of it where there is none.
    bool user = true;
    bool writable = true;
    bool executable = true;
};

/// What EPT must permit, as in bits 2:0 of an entry and of the qualification. An entry is read and
/// written when its flags are set, and whenever it is used if EPT has such flags, too; the loads
/// of PDPTEs are reads. SDM 3C, "EPT Violations".
constexpr u64 ept_wanted(EptUse use, Access access, bool accessed_and_dirty) {
    constexpr u64 read = 1, write = 2, execute = 4;
    switch (use) {
        case EptUse::translation: break;
        case EptUse::entry: return accessed_and_dirty ? read | write : read;
        case EptUse::entry_flags: return read | write;
        case EptUse::pdpte: return read;
    }
    switch (access) {
        case Access::read: return read;
        case Access::write: return write;
        case Access::execute: return execute;
    }
    return 0;
}

/// SDM 3C, "Exit Qualification for EPT Violations", with the advanced information. `permitted`:
/// bits 2:0 of all the entries used; 0 if one of them is not present.
constexpr EptViolation ept_violation(const GuestAccess& a, u64 wanted, u64 permitted) {
    const auto access = EptViolation::from_raw(wanted).with_permissions(permitted);
    if (a.use == EptUse::pdpte) return access;
    const auto linear = access.with_linear_address();
    if (a.use != EptUse::translation) return linear;
    return linear.with_final_translation()
        .with_user_mode_address(a.user)
        .with_page_writable(a.writable)
        .with_page_execute_disabled(!a.executable);
}

/// With EPT on.
Result<Hpa> walk_ept(Cpu& c, const GuestAccess& a);

/// Raises an EPT violation or misconfiguration, a page-modification log-full exit, or, for what is
/// no translation, an APIC-access exit.
inline Result<Hpa> translate_physical(Cpu& c, const GuestAccess& a) {
    if (c.vmx.ept_pointer == 0) return Hpa{a.physical.raw()};
    return walk_ept(c, a);
}

}  // namespace postern::cpu
