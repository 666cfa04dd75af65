// SPDX-License-Identifier: Apache-2.0
// The VMCS that the processor runs L2 with. What L1 asks for and what we need are both in it: an
// intercept is set if either wants it, a feature is on if both have it, a physical address of L1's
// is replaced by that of the page behind it.
#include <cstring>

#include "arch/vmx/capability.h"
#include "arch/vmx/msr_bitmap.h"
#include "arch/vmx/transition.h"
#include "hv/control_registers.h"
#include "hv/nested/guest_fields.h"
#include "hv/nested/nested.h"
#include "hv/vcpu.h"

namespace postern::hv {
namespace {

using F = VmcsField;
using Secondary = SecondaryControl;

/// Intercepts and modes of L2 that are L1's to choose, whatever we have ourselves.
constexpr SecondaryControls chosen_by_l1{
    Secondary::virtualize_apic_accesses, Secondary::virtualize_x2apic_mode,
    Secondary::unrestricted_guest,       Secondary::descriptor_table_exiting,
    Secondary::wbinvd_exiting,           Secondary::pause_loop_exiting,
    Secondary::rdrand_exiting,           Secondary::rdseed_exiting,
    Secondary::enable_encls_exiting,     Secondary::use_tsc_scaling};
/// Instructions that L2 has if L1 has them and gives them to it.
constexpr SecondaryControls given_by_both{Secondary::enable_rdtscp, Secondary::enable_invpcid,
                                          Secondary::enable_xsaves_xrstors,
                                          Secondary::enable_user_wait_and_pause};
/// Of our own controls for L1, what is not about L2 at all.
constexpr SecondaryControls only_of_l1{
    Secondary::virtualize_apic_accesses, Secondary::virtualize_x2apic_mode,
    Secondary::apic_register_virtualization, Secondary::virtual_interrupt_delivery,
    Secondary::unrestricted_guest};
constexpr PrimaryControls apic_controls{PrimaryControl::use_tpr_shadow,
                                        PrimaryControl::cr8_load_exiting,
                                        PrimaryControl::cr8_store_exiting};
__extension__ typedef unsigned __int128 u128;  // NOLINT: __extension__ takes no alias
__extension__ typedef __int128 i128;           // NOLINT

constexpr PrimaryControls windows{PrimaryControl::interrupt_window_exiting,
                                  PrimaryControl::nmi_window_exiting};

/// Written by L1 for its guest, and taken as they are.
constexpr std::array copied_controls{
    F::cr3_target_count,   F::cr3_target_value_0,        F::cr3_target_value_1,
    F::cr3_target_value_2, F::cr3_target_value_3,        F::ple_gap,
    F::ple_window,         F::xss_exiting_bitmap,        F::tsc_multiplier,
    F::tpr_threshold,      F::vmx_preemption_timer_value};

/// Scaling is of the offset counter: without offsetting there is none. SDM 3C, "Changes to
/// Instruction Behavior in VMX Non-Root Operation", of RDTSC.
bool scales_tsc(const Vmcs12& l1) {
    return l1.has(PrimaryControl::use_tsc_offsetting) && l1.has(Secondary::use_tsc_scaling);
}

/// Freestanding, std::memcpy is a call even of 8 bytes.
void merge_word(u8* to, const u8* from, const u8* other) {
    u64 a = 0, b = 0;
    __builtin_memcpy(&a, from, sizeof a);
    __builtin_memcpy(&b, other, sizeof b);
    a |= b;
    __builtin_memcpy(to, &a, sizeof a);
}

/// The local APIC's registers in x2APIC mode would be the processor's own. The one that "virtualize
/// x2APIC mode" has in the virtual-APIC page is L2's: what we ask for of L1's does not count.
void let_x2apic_exit(u8* bitmap, const u8* theirs, bool in_page) {
    constexpr u32 task_priority = x2apic_msr_first + 8;
    constexpr u32 bytes = (x2apic_msr_last + 1 - x2apic_msr_first) / 8;
    for (const bool write : {false, true}) {
        const BitmapBit kept = msr_bitmap_bit(task_priority, write);
        std::memset(bitmap + msr_bitmap_bit(x2apic_msr_first, write).byte, 0xff, bytes);
        if (in_page) bitmap[kept.byte] = static_cast<u8>(theirs[kept.byte] | ~(1u << kept.bit));
    }
}

/// `value` times the multiplier, which has 48 bits behind the point; an offset is signed.
u64 scaled(u64 value, u64 multiplier, bool is_signed) {
    const u128 product =
        is_signed ? static_cast<u128>(i128{static_cast<i64>(value)} * static_cast<i128>(multiplier))
                  : u128{value} * multiplier;
    return static_cast<u64>(product >> 48);
}

/// The exceptions of both; what of #PF we want ourselves, we want all of.
void write_exceptions(Port& port, const Vmcs12& l1, u32 ours) {
    const bool page_faults = (ours >> static_cast<u32>(Vector::page_fault) & 1) != 0;
    port.vmwrite(F::exception_bitmap, l1.get<F::exception_bitmap>() | ours);
    port.vmwrite(F::page_fault_error_code_mask,
                 page_faults ? 0 : l1.get<F::page_fault_error_code_mask>());
    port.vmwrite(F::page_fault_error_code_match,
                 page_faults ? 0 : l1.get<F::page_fault_error_code_match>());
}

}  // namespace

bool Nested::select(u64 region) { return vcpu_.port_.vmptrld(Hpa{region}); }

Nested::Outer Nested::outer() const {
    Vcpu& v = vcpu_;
    Outer outer;
    outer.pin = PinControls::from_raw(v.read32(F::pin_based_controls));
    outer.primary = PrimaryControls::from_raw(v.read32(F::primary_processor_based_controls));
    outer.secondary = SecondaryControls::from_raw(v.read32(F::secondary_processor_based_controls));
    outer.exit = ExitControls::from_raw(v.read32(F::vm_exit_controls));
    outer.entry = EntryControls::from_raw(v.read32(F::vm_entry_controls));
    outer.cr0 = v.seen_cr0();
    outer.efer = v.port_.vmread(F::guest_ia32_efer);
    outer.pat = v.port_.vmread(F::guest_ia32_pat);
    outer.dr7 = v.port_.vmread(F::guest_dr7);
    outer.debugctl = v.port_.vmread(F::guest_ia32_debugctl);
    return outer;
}

/// What of VMCS02 never changes. False: VMPTRLD failed.
bool Nested::build() {
    if (!select(state_.vmcs02)) return false;
    vcpu_.write_host_state();
    constexpr std::array zero{F::vm_exit_msr_store_count,       F::vm_exit_msr_load_count,
                              F::vm_entry_msr_load_count,       F::guest_activity_state,
                              F::vm_entry_exception_error_code, F::vm_entry_instruction_length};
    for (const F field : zero) vcpu_.port_.vmwrite(field, 0);
    vcpu_.port_.vmwrite(F::vmcs_link_pointer, none);
    vcpu_.port_.vmwrite(F::virtual_processor_identifier, vcpu_.vpid02());
    vcpu_.port_.vmwrite(F::msr_bitmap, state_.msr_bitmap02);
    state_.built = 1;
    return true;
}

void Nested::write_processor_controls(const Outer& outer) {
    Port& port = vcpu_.port_;
    const Vmcs12& l1 = state_.vmcs12;
    const bool timer = l1.has(PinControl::activate_vmx_preemption_timer);
    PinControls pin = outer.pin;
    pin.set(PinControl::activate_vmx_preemption_timer, timer);
    port.vmwrite(F::pin_based_controls, pin.to_raw());

    // All I/O exits; L1's bitmaps are looked at then. In HLT the processor waits by itself, with
    // all that can end it: windows, timer, pending debug exceptions.
    PrimaryControls primary =
        outer.primary.without(windows | apic_controls) | l1.primary().without(apic_controls);
    primary.set(PrimaryControl::use_io_bitmaps, false);
    primary.set(PrimaryControl::hlt_exiting, l1.has(PrimaryControl::hlt_exiting));
    primary.set(PrimaryControl::activate_secondary_controls);
    primary = primary | (l1.primary() & apic_controls);
    // Without a shadow of its own its CR8 is the task priority of L1.
    if (!l1.has(PrimaryControl::use_tpr_shadow))
        primary = primary | PrimaryControls{PrimaryControl::cr8_load_exiting,
                                            PrimaryControl::cr8_store_exiting};
    port.vmwrite(F::primary_processor_based_controls, primary.to_raw());
    state_.primary02 = primary.to_raw();

    SecondaryControls secondary = outer.secondary.without(only_of_l1 | given_by_both);
    secondary = secondary | (l1.secondary() & chosen_by_l1) |
                (outer.secondary & l1.secondary() & given_by_both);
    // We offset ourselves: the processor would scale.
    if (!scales_tsc(l1)) secondary.set(Secondary::use_tsc_scaling, false);
    port.vmwrite(F::secondary_processor_based_controls, secondary.to_raw());

    port.vmwrite(F::vm_exit_controls,
                 outer.exit.with(ExitControl::save_vmx_preemption_timer_value, timer).to_raw());
    port.vmwrite(
        F::vm_entry_controls,
        outer.entry.with(EntryControl::ia32e_mode_guest, l1.has(EntryControl::ia32e_mode_guest))
            .to_raw());
}

/// L1 gives pages of its memory for its guest's local APIC.
Next Nested::write_apic_pages() {
    const Vmcs12& l1 = state_.vmcs12;
    const auto write = [this](F field, u64 page) {
        const MemorySlot* const slot = vcpu_.vm_.memory().find(Gpa{page});
        if (slot == nullptr || slot->kind != SlotKind::ram) return false;
        vcpu_.port_.vmwrite(field, MemoryMap::host_address(*slot, Gpa{page}).raw());
        return true;
    };
    const bool shadow = l1.has(PrimaryControl::use_tpr_shadow);
    if (shadow && !write(F::virtual_apic_address, l1.get<F::virtual_apic_address>()))
        return vcpu_.stop(StopReason::not_implemented,
                          "a virtual-APIC page of a nested guest outside memory");
    const bool accesses = l1.has(SecondaryControl::virtualize_apic_accesses);
    if (accesses && !write(F::apic_access_address, l1.get<F::apic_access_address>()))
        return vcpu_.stop(StopReason::not_implemented,
                          "an APIC-access page of a nested guest outside memory");
    return Next::resume;
}

u64 Nested::ept_pointer12() const {
    return state_.vmcs12.has(SecondaryControl::enable_ept) ? l1<F::ept_pointer>()
                                                           : ShadowEpt::identity;
}

/// L2's physical addresses are L1's, or go through L1's EPT first. Our own EPT is not for L2: the
/// page at which L1 finds its local APIC is in it. L1 sees the flushes that it would see of its own
/// processor: without a VPID each transition is one.
Next Nested::write_translation() {
    const Vmcs12& l1 = state_.vmcs12;
    const Result<u64> shadow = ept_.use(ept_pointer12());
    if (!shadow.ok()) return vcpu_.stop(StopReason::out_of_table_pages);
    vcpu_.port_.vmwrite(F::ept_pointer, shadow.value());
    const u16 vpid =
        l1.has(SecondaryControl::enable_vpid) ? l1.get<F::virtual_processor_identifier>() : u16{0};
    if (vpid == 0 || vpid != state_.vpid12) vcpu_.port_.invvpid(vcpu_.vpid02());
    state_.vpid12 = vpid;
    return Next::resume;
}

/// An access exits if L1 or we want it. The local APIC's registers are L1's, or in its page; the
/// processor's own are out of reach.
void Nested::write_msr_bitmap() const {
    const Vmcs12& l1 = state_.vmcs12;
    Port& port = vcpu_.port_;
    u8* const merged = port.page(Hpa{state_.msr_bitmap02});
    const u8* const ours = port.page(Hpa{state_.msr_bitmap01});
    const u8* const theirs = l1.has(PrimaryControl::use_msr_bitmaps)
                                 ? vcpu_.vm_.bytes_at(Gpa{l1.get<F::msr_bitmap>()})
                                 : nullptr;
    if (theirs == nullptr) {
        std::memset(merged, 0xff, page_size);
        return;
    }
    for (size_t at = 0; at < page_size; at += sizeof(u64))
        merge_word(merged + at, ours + at, theirs + at);
    let_x2apic_exit(merged, theirs, l1.has(SecondaryControl::virtualize_x2apic_mode));
}

Next Nested::write_controls(const Outer& outer) {
    write_processor_controls(outer);
    for (const F field : copied_controls)
        if (capabilities_.field_exists(field)) vcpu_.port_.vmwrite(field, state_.vmcs12.get(field));
    write_exceptions(vcpu_.port_, state_.vmcs12, vcpu_.vm_.config().exception_bitmap);
    write_msr_bitmap();
    if (const Next next = write_apic_pages(); next != Next::resume) return next;
    return write_translation();
}

u64 Nested::real_cr0(u64 value) const {
    const u64 mask = l1<F::cr0_guest_host_mask>();
    return (value & ~mask) | (l1<F::guest_cr0>() & mask);
}

u64 Nested::shown_cr0(u64 value) const {
    const u64 mask = l1<F::cr0_guest_host_mask>();
    return (value & ~mask) | (l1<F::cr0_read_shadow>() & mask);
}

u64 Nested::real_cr4(u64 value) const {
    const u64 mask = l1<F::cr4_guest_host_mask>();
    return (value & ~mask) | (l1<F::guest_cr4>() & mask);
}

/// SDM 3C, "Restrictions on VMX Operation"; PE and PG are an unrestricted guest's own.
bool Nested::allows_cr0(u64 value) const {
    if (!in_l2()) return true;
    constexpr u64 modes = Cr0Word{Cr0::pe, Cr0::pg}.to_raw();
    const bool unrestricted = state_.vmcs12.has(SecondaryControl::unrestricted_guest);
    const u64 fixed = capabilities_.cr0_fixed0() & ~(unrestricted ? modes : 0);
    return (real_cr0(value) & fixed) == fixed;
}

bool Nested::allows_cr4(u64 value) const {
    const u64 fixed = capabilities_.cr4_fixed0();
    return !in_l2() || (real_cr4(value) & fixed) == fixed;
}

/// With EPT L1 gives them in its VMCS; without, they are loaded with CR3. False: an entry has a
/// reserved bit set.
bool Nested::write_pdptes() {
    const Vmcs12& l1 = state_.vmcs12;
    if (l1.has(SecondaryControl::enable_ept)) {
        for (const F field : pdpte_fields) vcpu_.port_.vmwrite(field, l1.get(field));
        return true;
    }
    const auto cr0 = Cr0Word::from_raw(l1.get<F::guest_cr0>());
    const auto cr4 = Cr4Word::from_raw(l1.get<F::guest_cr4>());
    const bool pae =
        cr0.has(Cr0::pg) && cr4.has(Cr4::pae) && !l1.has(EntryControl::ia32e_mode_guest);
    return !pae || vcpu_.load_pdptes(l1.get<F::guest_cr3>());
}

/// SDM 3C, "Loading Guest State": what L1's entry controls do not load is what L1 has.
void Nested::write_guest_state(const Outer& outer) {
    Port& port = vcpu_.port_;
    const Vmcs12& l1 = state_.vmcs12;
    for (const F field : guest_fields) port.vmwrite(field, l1.get(field));
    for_each_segment_field([&](F field) { port.vmwrite(field, l1.get(field)); });

    const u64 mask0 = l1.get<F::cr0_guest_host_mask>(), mask4 = l1.get<F::cr4_guest_host_mask>();
    const u64 cr4_fixed = capabilities_.cr4_fixed0();
    port.vmwrite(F::cr0_guest_host_mask, mask0 | cr0_masked.to_raw());
    port.vmwrite(F::cr4_guest_host_mask, mask4 | cr4_masked.to_raw() | cr4_fixed);
    const Cr0Word seen = merged_cr0(Cr0Word::from_raw(outer.cr0), l1.get<F::guest_cr0>());
    const u64 seen0 = seen.to_raw();
    port.vmwrite(F::guest_cr0, hv::real_cr0(seen).to_raw());
    port.vmwrite(F::guest_cr4, (l1.get<F::guest_cr4>() & ~cr4_masked.to_raw()) | cr4_fixed);
    port.vmwrite(F::cr0_read_shadow, (seen0 & ~mask0) | (l1.get<F::cr0_read_shadow>() & mask0));
    port.vmwrite(F::cr4_read_shadow,
                 (l1.get<F::guest_cr4>() & ~mask4) | (l1.get<F::cr4_read_shadow>() & mask4));

    const bool ia32e = l1.has(EntryControl::ia32e_mode_guest);
    const auto cr0 = Cr0Word::from_raw(l1.get<F::guest_cr0>());
    EferWord efer = EferWord::from_raw(outer.efer).with(Efer::lma, ia32e);
    if (cr0.has(Cr0::pg)) efer.set(Efer::lme, ia32e);
    const bool debug = l1.has(EntryControl::load_debug_controls);
    const auto choose = [&](F field, bool loads, u64 otherwise) {
        port.vmwrite(field, loads ? l1.get(field) : otherwise);
    };
    choose(F::guest_ia32_efer, l1.has(EntryControl::load_ia32_efer), efer.to_raw());
    choose(F::guest_ia32_pat, l1.has(EntryControl::load_ia32_pat), outer.pat);
    choose(F::guest_dr7, debug, outer.dr7);
    choose(F::guest_ia32_debugctl, debug, outer.debugctl);
}

u64 Nested::encls_bitmap(u64 ours) const {
    if (!in_l2() || !state_.vmcs12.has(SecondaryControl::enable_encls_exiting)) return ours;
    return ours | l1<F::encls_exiting_bitmap>();
}

/// SDM 3C, "Time-Stamp Counter Offsetting and Scaling".
u64 Nested::tsc_offset_of_l2(u64 offset_of_l1) const {
    const Vmcs12& l1 = state_.vmcs12;
    const u64 own = l1.has(PrimaryControl::use_tsc_offsetting) ? l1.get<F::tsc_offset>() : 0;
    if (!scales_tsc(l1)) return offset_of_l1 + own;
    return scaled(offset_of_l1, l1.get<F::tsc_multiplier>(), true) + own;
}

u64 Nested::tsc_of_l2(u64 tsc_of_l1) const {
    const Vmcs12& l1 = state_.vmcs12;
    const u64 own = l1.has(PrimaryControl::use_tsc_offsetting) ? l1.get<F::tsc_offset>() : 0;
    if (!scales_tsc(l1)) return tsc_of_l1 + own;
    return scaled(tsc_of_l1, l1.get<F::tsc_multiplier>(), false) + own;
}

}  // namespace postern::hv
