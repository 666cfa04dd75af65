// SPDX-License-Identifier: Apache-2.0
// What the checks of VM entry are told, and the words in which they are written. A processor that
// enters and a hypervisor that enters for its guest hypervisor each have a view of their own.
#pragma once

#include <concepts>

#include "arch/regs/cr0.h"
#include "arch/regs/cr4.h"
#include "arch/regs/rflags.h"
#include "arch/regs/segment.h"
#include "arch/vmx/capability.h"
#include "arch/vmx/interruption_information.h"
#include "arch/vmx/vmcs_field.h"
#include "base/address.h"

namespace postern::vm_entry {

/// A VMCS, and the processor that is to enter with it. All may be constexpr, and static where the
/// answer is always the same. Linear addresses have 48 bits. not_offered.h names the controls that
/// the processor must not have, because their rows are missing.
template <class View>
concept EntryView = requires(const View& v, unsigned segment, u64 address) {
    // The VMCS. What a field that the processor lacks reads as does not matter.
    { v.template get<VmcsField::guest_tr_selector>() } -> std::same_as<u16>;
    { v.template get<VmcsField::vm_entry_controls>() } -> std::same_as<u32>;
    { v.template get<VmcsField::io_bitmap_a>() } -> std::same_as<u64>;
    { v.template get<VmcsField::guest_rip>() } -> std::same_as<u64>;
    { v.segment(segment) } -> std::same_as<Segment>;  // of the guest, by SegmentIndex
    { v.current_vmcs() } -> std::same_as<u64>;        // the current-VMCS pointer

    // The capability MSRs. Of control words it is the TRUE one, where there is one.
    { v.template capability<ControlWord::pin>() } -> std::same_as<ControlCapability>;
    { v.template capability<ControlWord::secondary>() } -> std::same_as<ControlCapability>;
    { v.basic() } -> std::same_as<VmxBasic>;
    { v.misc() } -> std::same_as<VmxMisc>;
    { v.ept_vpid() } -> std::same_as<EptVpidCapabilities>;
    { v.cr0_fixed0() } -> std::same_as<u64>;
    { v.cr0_fixed1() } -> std::same_as<u64>;
    { v.cr4_fixed0() } -> std::same_as<u64>;
    { v.cr4_fixed1() } -> std::same_as<u64>;

    // The processor.
    { v.physical_bits() } -> std::same_as<unsigned>;  // MAXPHYADDR
    { v.has_sgx() } -> std::same_as<bool>;            // CPUID.(7,0):EBX.SGX
    { v.debugctl_reserved() } -> std::same_as<u64>;   // what WRMSR of IA32_DEBUGCTL refuses
    { v.is_in_ia32e_mode() } -> std::same_as<bool>;   // IA32_EFER.LMA at the VM entry

    // Physical memory, at an aligned address that is within MAXPHYADDR.
    { v.read_u32(address) } -> std::same_as<u32>;
    { v.read_u64(address) } -> std::same_as<u64>;
};

template <VmcsField field>
constexpr VmcsValue<field> get(const EntryView auto& v) {
    return v.template get<field>();
}

// Is a control set? The secondary controls count only when the primary word activates them.

constexpr bool has(const EntryView auto& v, PinControl control) {
    return PinControls::from_raw(get<VmcsField::pin_based_controls>(v)).has(control);
}
constexpr bool has(const EntryView auto& v, PrimaryControl control) {
    return PrimaryControls::from_raw(get<VmcsField::primary_processor_based_controls>(v))
        .has(control);
}
constexpr bool has(const EntryView auto& v, SecondaryControl control) {
    return has(v, PrimaryControl::activate_secondary_controls) &&
           SecondaryControls::from_raw(get<VmcsField::secondary_processor_based_controls>(v))
               .has(control);
}
constexpr bool has(const EntryView auto& v, ExitControl control) {
    return ExitControls::from_raw(get<VmcsField::vm_exit_controls>(v)).has(control);
}
constexpr bool has(const EntryView auto& v, EntryControl control) {
    return EntryControls::from_raw(get<VmcsField::vm_entry_controls>(v)).has(control);
}

template <ControlWord word>
constexpr bool accepts(const EntryView auto& v, u32 controls) {
    return v.template capability<word>().accepts(controls);
}

constexpr InterruptionInformation injection(const EntryView auto& v) {
    return InterruptionInformation::from_raw(get<VmcsField::vm_entry_interruption_information>(v));
}

constexpr bool injects(const EntryView auto& v, InterruptionType type) {
    return injection(v).valid() && injection(v).type() == type;
}

constexpr Cr0Word guest_cr0(const EntryView auto& v) {
    return Cr0Word::from_raw(get<VmcsField::guest_cr0>(v));
}
constexpr Cr4Word guest_cr4(const EntryView auto& v) {
    return Cr4Word::from_raw(get<VmcsField::guest_cr4>(v));
}
constexpr Rflags guest_flags(const EntryView auto& v) {
    return Rflags::from_raw(get<VmcsField::guest_rflags>(v));
}

constexpr bool is_ia32e_guest(const EntryView auto& v) {
    return has(v, EntryControl::ia32e_mode_guest);
}
constexpr bool is_unrestricted_guest(const EntryView auto& v) {
    return has(v, SecondaryControl::unrestricted_guest);
}

/// The guest's code segment is a 64-bit one.
constexpr bool is_64_bit_code(const EntryView auto& v) {
    return is_ia32e_guest(v) && v.segment(cs).is_long();
}

/// No bit beyond the physical-address width.
constexpr bool is_physical(const EntryView auto& v, u64 address) {
    return address >> v.physical_bits() == 0;
}

/// Page-aligned and within the physical-address width.
constexpr bool is_physical_page(const EntryView auto& v, u64 address) {
    return address % page_size == 0 && is_physical(v, address);
}

/// MOV to CR3's rule: no bit beyond the physical-address width.
constexpr bool is_valid_cr3(const EntryView auto& v, u64 cr3) { return is_physical(v, cr3); }

/// Every bit of `required` is 1, and no other bit than those of `allowed`.
constexpr bool has_fixed_bits(u64 value, u64 required, u64 allowed) {
    return (value & required) == required && (value & ~allowed) == 0;
}

// An MSR area has entries of 16 bytes; an empty one is not looked at. Whether it ends validly is
// computed with more bits than an address has.

constexpr bool begins_validly(const EntryView auto& v, u32 count, u64 address) {
    return count == 0 || (address % 16 == 0 && is_physical(v, address));
}

constexpr bool ends_validly(const EntryView auto& v, u32 count, u64 address) {
    const u64 size = u64{count} * 16;
    return count == 0 || (address <= ~u64{0} - (size - 1) && is_physical(v, address + (size - 1)));
}

/// `implies(a, b)`: b, where a makes it matter. Both are evaluated: nothing may be read from memory
/// in b.
constexpr bool implies(bool when, bool then) { return !when || then; }

}  // namespace postern::vm_entry
