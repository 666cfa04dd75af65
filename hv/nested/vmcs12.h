// SPDX-License-Identifier: Apache-2.0
// What an L1 hypervisor wrote into the VMCS of its guest: a slot for each field, kept here while
// the VMCS is current and in L1's region while it is not.
#pragma once

#include <array>
#include <cstddef>
#include <type_traits>

#include "arch/vmx/controls.h"
#include "arch/vmx/vmcs_field.h"
#include "base/address.h"

namespace postern::hv {

/// The layout of L1's region too, from its first byte on. SDM 3C, "Format of the VMCS Region"; the
/// data behind the first eight bytes are ours to lay out.
struct Vmcs12 {
    u32 revision = 0;
    u32 abort = 0;     // VMX-abort indicator
    u32 launched = 0;  // 0: clear
    u32 reserved = 0;
    std::array<u64, vmcs_field_count> slot{};

    template <VmcsField field>
    [[nodiscard]] constexpr VmcsValue<field> get() const {
        constexpr size_t index = vmcs_index(field);
        return static_cast<VmcsValue<field>>(slot[index]);
    }
    template <VmcsField field>
    constexpr void set(u64 value) {
        constexpr size_t index = vmcs_index(field);
        slot[index] = static_cast<VmcsValue<field>>(value);
    }
    [[nodiscard]] constexpr u64 get(VmcsField field) const { return slot[vmcs_index(field)]; }
    constexpr void set(VmcsField field, u64 value) { slot[vmcs_index(field)] = value; }

    [[nodiscard]] constexpr PinControls pin() const {
        return PinControls::from_raw(get<VmcsField::pin_based_controls>());
    }
    [[nodiscard]] constexpr PrimaryControls primary() const {
        return PrimaryControls::from_raw(get<VmcsField::primary_processor_based_controls>());
    }
    /// None unless the primary controls activate them.
    [[nodiscard]] constexpr SecondaryControls secondary() const {
        if (!primary().has(PrimaryControl::activate_secondary_controls)) return {};
        return SecondaryControls::from_raw(get<VmcsField::secondary_processor_based_controls>());
    }
    [[nodiscard]] constexpr ExitControls exit() const {
        return ExitControls::from_raw(get<VmcsField::vm_exit_controls>());
    }
    [[nodiscard]] constexpr EntryControls entry() const {
        return EntryControls::from_raw(get<VmcsField::vm_entry_controls>());
    }
    [[nodiscard]] constexpr bool has(PinControl control) const { return pin().has(control); }
    [[nodiscard]] constexpr bool has(PrimaryControl control) const {
        return primary().has(control);
    }
    [[nodiscard]] constexpr bool has(SecondaryControl control) const {
        return secondary().has(control);
    }
    [[nodiscard]] constexpr bool has(ExitControl control) const { return exit().has(control); }
    [[nodiscard]] constexpr bool has(EntryControl control) const { return entry().has(control); }

    friend constexpr bool operator==(const Vmcs12&, const Vmcs12&) = default;
};
static_assert(std::is_trivially_copyable_v<Vmcs12> && std::is_standard_layout_v<Vmcs12>);
static_assert(std::has_unique_object_representations_v<Vmcs12>);
static_assert(sizeof(Vmcs12) <= page_size && offsetof(Vmcs12, abort) == 4);

}  // namespace postern::hv
