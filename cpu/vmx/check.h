// SPDX-License-Identifier: Apache-2.0
// The checks of VM entry as tables: a row for each sentence of the manual that can be violated
// by itself, with a predicate that says whether it holds.
#pragma once

#include <span>
#include <string_view>

#include "arch/vmx/exit_qualification.h"
#include "cpu/cpu.h"
#include "cpu/vmx/guest_segment.h"
#include "cpu/vmx/status.h"
#include "cpu/vmx/vmx.h"

namespace postern::cpu::vmx {

struct EntryCheck {
    std::string_view title;  // in SDM 3C
    std::string_view rule;   // unique
    bool (*holds)(Cpu& c);
    /// Of the failed entry, for a check of guest state.
    EntryFailureQualification qualification = EntryFailureQualification::none;
};

/// VMfailValid 7. Those of EPT are apart.
std::span<const EntryCheck> control_checks();
std::span<const EntryCheck> ept_checks();
std::span<const EntryCheck> virtual_apic_checks();
/// VMfailValid 8.
std::span<const EntryCheck> host_checks();
/// VM entry fails with exit reason 33: guest state except, and only, the segment registers.
std::span<const EntryCheck> guest_checks();
std::span<const EntryCheck> segment_checks();

/// The first row that does not hold, or null.
inline const EntryCheck* first_violated(std::span<const EntryCheck> checks, Cpu& c) {
    for (const EntryCheck& check : checks)
        if (!check.holds(c)) return &check;
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

/// Page-aligned and within the physical-address width.
inline bool is_physical_page(const Cpu& c, u64 address) {
    return address % page_size == 0 && is_physical(c, address);
}

/// MOV to CR3's rule: no bit beyond the physical-address width.
inline bool is_valid_cr3(const Cpu& c, u64 cr3) { return is_physical(c, cr3); }

/// The guest's code segment is a 64-bit one.
inline bool is_64_bit_code(const Cpu& c) {
    return has(c, EntryControl::ia32e_mode_guest) && guest_segment(c.vmx.vmcs, cs).is_long();
}

/// `implies(a, b)`: b, where a makes it matter.
constexpr bool implies(bool when, bool then) { return !when || then; }

}  // namespace postern::cpu::vmx
