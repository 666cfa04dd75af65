// SPDX-License-Identifier: Apache-2.0
// States that violate one rule of VM entry each, and how they are made of the baseline guest. A
// rule may have several. docs/coverage.md lists the files by the rules they name.
#pragma once

#include <span>
#include <string_view>

#include "unit/cpu/vmx/vmx_machine.h"

namespace postern::cpu::vmx {

struct Violation {
    std::string_view rule;  // EntryCheck::rule
    void (*mutate)(VmxMachine& m);
    /// Another rule that every state that violates this one violates, too.
    std::string_view also = {};
    u64 qualification = 0;  // of a VM entry that fails for its guest state
};

std::span<const Violation> control_violations();
std::span<const Violation> ept_violations();
std::span<const Violation> virtual_apic_violations();
std::span<const Violation> entering_violations();
std::span<const Violation> host_violations();
std::span<const Violation> guest_violations();
std::span<const Violation> non_register_violations();
std::span<const Violation> segment_violations();

/// All there are.
inline constexpr std::array violation_lists{
    control_violations, ept_violations,   virtual_apic_violations, entering_violations,
    host_violations,    guest_violations, non_register_violations, segment_violations};

constexpr u64 bit_of(unsigned position) { return u64{1} << position; }

inline void inject(VmxMachine& m, u64 information, u64 error_code = 0, u64 length = 0) {
    m.set(VmcsField::vm_entry_interruption_information, information);
    m.set(VmcsField::vm_entry_exception_error_code, error_code);
    m.set(VmcsField::vm_entry_instruction_length, length);
}

inline void set_rights(VmxMachine& m, unsigned index, u64 rights) {
    m.set(segment_field(VmcsField::guest_es_access_rights, index), rights);
}

/// A guest outside IA-32e mode: PAE paging, its table in the guest-state area.
inline void make_guest_legacy(VmxMachine& m) {
    m.turn_off(VmcsField::vm_entry_controls, bit_of(9));
    m.set(VmcsField::guest_ia32_efer, 0);
    set_rights(m, cs, 0xc09b);
}

/// The same without EPT, the table in memory.
inline void make_guest_pae_without_ept(VmxMachine& m) {
    make_guest_legacy(m);
    m.set(VmcsField::secondary_processor_based_controls, 0x20);
}

inline void make_unrestricted(VmxMachine& m) {
    m.turn_on(VmcsField::secondary_processor_based_controls, bit_of(7));
}

/// An unrestricted guest in real-address mode.
inline void make_guest_real(VmxMachine& m) {
    make_guest_legacy(m);
    make_unrestricted(m);
    m.set(VmcsField::guest_cr0, 0x30);
    set_rights(m, cs, 0x9b);
    m.set(VmcsField::guest_cs_limit, 0xffff);
}

/// Root software outside IA-32e mode, with such a guest.
inline void make_root_legacy(VmxMachine& m) {
    make_guest_legacy(m);
    m.c.efer = EferWord{};
    m.turn_off(VmcsField::vm_exit_controls, bit_of(9));
    m.set(VmcsField::host_ia32_efer, 0);
    m.set(VmcsField::host_rip, 0x1000);
}

inline void make_virtual_8086(VmxMachine& m) {
    m.set(VmcsField::guest_rflags, 0x2'0202);
    for (unsigned n = es; n <= gs; ++n) {
        m.set(segment_field(VmcsField::guest_es_selector, n), 0x1000);
        m.set(segment_field(VmcsField::guest_es_base, n), 0x1'0000);
        m.set(segment_field(VmcsField::guest_es_limit, n), 0xffff);
        set_rights(m, n, 0xf3);
    }
}

inline void make_ldtr_usable(VmxMachine& m) {
    m.set(VmcsField::guest_ldtr_selector, 0x28);
    m.set(VmcsField::guest_ldtr_base, 0xe000);
    m.set(VmcsField::guest_ldtr_limit, 0x67);
    set_rights(m, ldtr, 0x82);
}

}  // namespace postern::cpu::vmx
