// SPDX-License-Identifier: Apache-2.0
// The checks of VM entry as tables: a row for each item of the manual's lists, with a predicate
// that says whether it holds. Items of controls that are not implemented need none, because the
// capability rows refuse those controls; they are named in check_not_offered.cpp.
#pragma once

#include <array>
#include <span>
#include <string_view>
#include <utility>

#include "arch/regs/cr0.h"
#include "arch/regs/cr4.h"
#include "arch/regs/rflags.h"
#include "arch/vmx/exit_qualification.h"
#include "arch/vmx/interruption_information.h"
#include "cpu/cpu.h"
#include "cpu/vmx/guest_segment.h"
#include "cpu/vmx/status.h"
#include "cpu/vmx/vmx.h"

namespace postern::cpu::vmx {

struct EntryCheck {
    std::string_view title;  // in SDM 3C
    std::string_view rule;   // unique; the item in our own words
    bool (*holds)(Cpu& c);
    /// Of the failed entry, for a check of guest state.
    EntryFailureQualification qualification = EntryFailureQualification::none;
};

/// A table: its rows, and the search for the first that does not hold as one function, with the
/// predicates in it.
struct CheckRows {
    std::span<const EntryCheck> rows;
    const EntryCheck* (*first_violated)(Cpu& c);

    [[nodiscard]] auto begin() const { return rows.begin(); }
    [[nodiscard]] auto end() const { return rows.end(); }
};

template <const auto& rows, size_t n>
bool is_violated(Cpu& c, const EntryCheck*& found) {
    constexpr auto holds = rows[n].holds;
    if (holds(c)) return false;
    found = &rows[n];
    return true;
}

template <const auto& rows>
const EntryCheck* first_violated_of(Cpu& c) {
    const EntryCheck* found = nullptr;
    [&]<size_t... n>(std::index_sequence<n...>) {
        (void)(is_violated<rows, n>(c, found) || ...);
    }(std::make_index_sequence<rows.size()>{});
    return found;
}

template <const auto& rows>
constexpr CheckRows check_rows() {
    return {rows, first_violated_of<rows>};
}

/// What a violated row makes of VMLAUNCH and VMRESUME: VMfailValid 7, VMfailValid 8, or a VM entry
/// that fails with exit reason 33.
enum class EntryFailure : u8 { controls, host, guest };

// SDM 3C, "Checks on VMX Controls".
CheckRows execution_checks();  // "VM-Execution Control Fields", but these two:
CheckRows ept_checks();
CheckRows virtual_apic_checks();
CheckRows exiting_checks();   // "VM-Exit Control Fields"
CheckRows entering_checks();  // "VM-Entry Control Fields"
// SDM 3C, "Checks on Host Control Registers, MSRs, and SSP" to "Checks Related to Address-Space
// Size".
CheckRows host_checks();
// SDM 3C, "Checks on the Guest State Area".
CheckRows guest_register_checks();
CheckRows segment_checks();         // ES to GS
CheckRows system_segment_checks();  // TR and LDTR
CheckRows guest_flow_checks();      // descriptor tables, RIP, RFLAGS
CheckRows non_register_checks();
CheckRows pdpte_checks();

struct CheckTable {
    EntryFailure failure;
    CheckRows (*checks)();
};

/// All there are, in the manual's order.
inline constexpr std::array check_tables{
    CheckTable{EntryFailure::controls, execution_checks},
    CheckTable{EntryFailure::controls, ept_checks},
    CheckTable{EntryFailure::controls, virtual_apic_checks},
    CheckTable{EntryFailure::controls, exiting_checks},
    CheckTable{EntryFailure::controls, entering_checks},
    CheckTable{EntryFailure::host, host_checks},
    CheckTable{EntryFailure::guest, guest_register_checks},
    CheckTable{EntryFailure::guest, segment_checks},
    CheckTable{EntryFailure::guest, system_segment_checks},
    CheckTable{EntryFailure::guest, guest_flow_checks},
    CheckTable{EntryFailure::guest, non_register_checks},
    CheckTable{EntryFailure::guest, pdpte_checks},
};

/// The first row that does not hold, or null.
inline const EntryCheck* first_violated(EntryFailure failure, Cpu& c) {
    for (const CheckTable& table : check_tables) {
        if (table.failure != failure) continue;
        if (const EntryCheck* found = table.checks().first_violated(c)) return found;
    }
    return nullptr;
}

// What predicates are made of.

template <VmcsField field>
VmcsValue<field> get(const Cpu& c) {
    return static_cast<VmcsValue<field>>(c.vmx.vmcs.get<field>());
}

template <class Control>
bool has(const Cpu& c, Control control) {
    return has(c.vmx.vmcs, control);
}

inline InterruptionInformation injection(const Cpu& c) {
    return InterruptionInformation::from_raw(get<VmcsField::vm_entry_interruption_information>(c));
}

inline bool injects(const Cpu& c, InterruptionType type) {
    return injection(c).valid() && injection(c).type() == type;
}

inline Cr0Word guest_cr0(const Cpu& c) { return Cr0Word::from_raw(get<VmcsField::guest_cr0>(c)); }
inline Cr4Word guest_cr4(const Cpu& c) { return Cr4Word::from_raw(get<VmcsField::guest_cr4>(c)); }
inline Rflags guest_flags(const Cpu& c) {
    return Rflags::from_raw(get<VmcsField::guest_rflags>(c));
}

inline bool is_ia32e_guest(const Cpu& c) { return has(c, EntryControl::ia32e_mode_guest); }
inline bool is_unrestricted_guest(const Cpu& c) {
    return has(c, SecondaryControl::unrestricted_guest);
}

/// SDM 3C, "Checks on Guest Page-Directory-Pointer-Table Entries".
inline bool is_pae_guest(const Cpu& c) {
    return guest_cr0(c).has(Cr0::pg) && guest_cr4(c).has(Cr4::pae) && !is_ia32e_guest(c);
}

/// Page-aligned and within the physical-address width.
inline bool is_physical_page(const Cpu& c, u64 address) {
    return address % page_size == 0 && is_physical(c, address);
}

/// MOV to CR3's rule: no bit beyond the physical-address width.
inline bool is_valid_cr3(const Cpu& c, u64 cr3) { return is_physical(c, cr3); }

/// The guest's code segment is a 64-bit one.
inline bool is_64_bit_code(const Cpu& c) {
    return is_ia32e_guest(c) && guest_segment(c.vmx.vmcs, cs).is_long();
}

/// `implies(a, b)`: b, where a makes it matter. Both are evaluated: nothing may be read from memory
/// in b.
constexpr bool implies(bool when, bool then) { return !when || then; }

}  // namespace postern::cpu::vmx
