// SPDX-License-Identifier: Apache-2.0
// A VMCS, some memory and a processor that can do everything, for the checks of VM entry.
#pragma once

#include <array>

#include "arch/vmx/entry_checks.h"
#include "arch/vmx/ept.h"

namespace postern::vm_entry {

struct FakeProcessor {
    ControlCapability pin{pin_default1.true_controls, ~u32{0}};
    ControlCapability primary{primary_default1.true_controls, ~u32{0}};
    ControlCapability secondary{0, ~u32{0}};
    ControlCapability exit{exit_default1.true_controls, ~u32{0}};
    ControlCapability entry{entry_default1.true_controls, ~u32{0}};
    VmxBasic basic = VmxBasic::of(0x1234, 4096).with_true_controls();
    VmxMisc misc =
        VmxMisc{}.with_activities(7).with_cr3_target_count(4).with_zero_length_injection();
    EptVpidCapabilities ept_vpid = EptVpidCapabilities::from_raw(~u64{0});
    u64 cr0_fixed0 = 0x8000'0021;
    u64 cr0_fixed1 = 0xffff'ffff;
    u64 cr4_fixed0 = 0x2000;
    u64 cr4_fixed1 = ~u64{0};
    unsigned physical_bits = 46;
    bool has_sgx = true;
    u64 debugctl_reserved = ~u64{3};
    bool is_in_ia32e_mode = true;
};

/// All words of memory are the same.
struct FakeView {
    std::array<u64, vmcs_field_count> slot{};
    FakeProcessor processor;
    u64 memory = 0;
    static constexpr u64 current = 0x7000;

    constexpr u64& at(VmcsField field) { return slot[vmcs_index(field)]; }
    [[nodiscard]] constexpr u64 at(VmcsField field) const { return slot[vmcs_index(field)]; }
    constexpr void turn_on(VmcsField field, u64 mask) { at(field) |= mask; }

    template <VmcsField field>
    [[nodiscard]] constexpr VmcsValue<field> get() const {
        return static_cast<VmcsValue<field>>(at(field));
    }
    [[nodiscard]] constexpr Segment segment(unsigned index) const {
        using F = VmcsField;
        return {static_cast<u16>(at(segment_field(F::guest_es_selector, index))),
                0,
                static_cast<u32>(at(segment_field(F::guest_es_access_rights, index))),
                static_cast<u32>(at(segment_field(F::guest_es_limit, index))),
                0,
                at(segment_field(F::guest_es_base, index))};
    }
    [[nodiscard]] constexpr u64 current_vmcs() const { return current; }

    template <ControlWord word>
    [[nodiscard]] constexpr ControlCapability capability() const {
        switch (word) {
            case ControlWord::pin: return processor.pin;
            case ControlWord::primary: return processor.primary;
            case ControlWord::secondary: return processor.secondary;
            case ControlWord::exit: return processor.exit;
            case ControlWord::entry: return processor.entry;
        }
    }
    [[nodiscard]] constexpr VmxBasic basic() const { return processor.basic; }
    [[nodiscard]] constexpr VmxMisc misc() const { return processor.misc; }
    [[nodiscard]] constexpr EptVpidCapabilities ept_vpid() const { return processor.ept_vpid; }
    [[nodiscard]] constexpr u64 cr0_fixed0() const { return processor.cr0_fixed0; }
    [[nodiscard]] constexpr u64 cr0_fixed1() const { return processor.cr0_fixed1; }
    [[nodiscard]] constexpr u64 cr4_fixed0() const { return processor.cr4_fixed0; }
    [[nodiscard]] constexpr u64 cr4_fixed1() const { return processor.cr4_fixed1; }
    [[nodiscard]] constexpr unsigned physical_bits() const { return processor.physical_bits; }
    [[nodiscard]] constexpr bool has_sgx() const { return processor.has_sgx; }
    [[nodiscard]] constexpr u64 debugctl_reserved() const { return processor.debugctl_reserved; }
    [[nodiscard]] constexpr bool is_in_ia32e_mode() const { return processor.is_in_ia32e_mode; }
    [[nodiscard]] constexpr u32 read_u32(u64) const { return static_cast<u32>(memory); }
    [[nodiscard]] constexpr u64 read_u64(u64) const { return memory; }

    /// A 64-bit host and a 64-bit guest with EPT.
    static constexpr FakeView valid();

private:
    constexpr void set_controls();
    constexpr void set_host();
    constexpr void set_guest();
    constexpr void set_segment(unsigned index, u16 selector, u32 rights, u32 limit);
};

constexpr void FakeView::set_controls() {
    using F = VmcsField;
    at(F::pin_based_controls) = pin_default1.true_controls;
    at(F::primary_processor_based_controls) =
        primary_default1.true_controls |
        PrimaryControls{PrimaryControl::activate_secondary_controls}.to_raw();
    at(F::secondary_processor_based_controls) =
        SecondaryControls{SecondaryControl::enable_ept}.to_raw();
    at(F::ept_pointer) = Eptp::of(0x8000).to_raw();
    at(F::vm_exit_controls) =
        exit_default1.true_controls | ExitControls{ExitControl::host_address_space_size}.to_raw();
    at(F::vm_entry_controls) =
        entry_default1.true_controls |
        EntryControls{EntryControl::ia32e_mode_guest, EntryControl::load_debug_controls}.to_raw();
}

constexpr void FakeView::set_host() {
    using F = VmcsField;
    at(F::host_cr0) = 0x8000'0021;
    at(F::host_cr4) = 0x2020;
    at(F::host_cr3) = 0x1000;
    at(F::host_cs_selector) = 0x08;
    at(F::host_tr_selector) = 0x18;
}

constexpr void FakeView::set_segment(unsigned index, u16 selector, u32 rights, u32 limit) {
    using F = VmcsField;
    at(segment_field(F::guest_es_selector, index)) = selector;
    at(segment_field(F::guest_es_access_rights, index)) = rights;
    at(segment_field(F::guest_es_limit, index)) = limit;
}

constexpr void FakeView::set_guest() {
    using F = VmcsField;
    at(F::guest_cr0) = 0x8000'0021;
    at(F::guest_cr4) = 0x2020;
    at(F::guest_cr3) = 0x2000;
    at(F::guest_rflags) = 2;
    at(F::guest_dr7) = 0x400;
    for (const unsigned index : {es, ss, ds, fs, gs}) set_segment(index, 0x10, 0xc093, ~u32{0});
    set_segment(cs, 0x08, 0xa09b, ~u32{0});
    set_segment(tr, 0x18, 0x8b, 0x67);
    set_segment(ldtr, 0, access_rights_unusable, 0);
    at(F::vmcs_link_pointer) = ~u64{0};
}

constexpr FakeView FakeView::valid() {
    FakeView v;
    v.set_controls();
    v.set_host();
    v.set_guest();
    return v;
}

static_assert(EntryView<FakeView>);

}  // namespace postern::vm_entry
