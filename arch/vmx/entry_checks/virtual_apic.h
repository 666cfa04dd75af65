// SPDX-License-Identifier: Apache-2.0
// SDM 3C, "VM-Execution Control Fields": what VM entry asks of the controls and fields of APIC
// virtualization.
#pragma once

#include "arch/vmx/entry_checks/check.h"

namespace postern::vm_entry {

constexpr bool has_shadow(const EntryView auto& v) {
    return has(v, PrimaryControl::use_tpr_shadow);
}
constexpr bool posts(const EntryView auto& v) {
    return has(v, PinControl::process_posted_interrupts);
}
constexpr bool delivers(const EntryView auto& v) {
    return has(v, SecondaryControl::virtual_interrupt_delivery);
}

/// Nothing of what depends on the virtual-APIC page is on.
constexpr bool is_without_page(const EntryView auto& v) {
    return !has(v, SecondaryControl::virtualize_x2apic_mode) &&
           !has(v, SecondaryControl::apic_register_virtualization) && !delivers(v);
}

/// In this case alone: with APIC accesses virtualized there is a VM exit right after VM entry. A
/// page that is bad itself is not read.
constexpr bool compares_threshold(const EntryView auto& v) {
    return has_shadow(v) && !delivers(v) && !has(v, SecondaryControl::virtualize_apic_accesses) &&
           is_physical_page(v, get<VmcsField::virtual_apic_address>(v));
}

/// VTPR's bits 7:4. SDM 3C, "Virtualized APIC Registers".
constexpr u32 virtual_task_priority_class(const EntryView auto& v) {
    constexpr u64 vtpr = 0x80;
    return v.read_u32(get<VmcsField::virtual_apic_address>(v) + vtpr) >> 4 & 0xf;
}

template <EntryView View>
struct VirtualApicChecks {
    using Check = EntryCheck<View>;
    using F = VmcsField;

    static constexpr std::array rows{
        Check{title::execution, "the virtual-APIC address is aligned to a page",
              [](const View& v) {
                  return implies(has_shadow(v), get<F::virtual_apic_address>(v) % page_size == 0);
              }},
        Check{title::execution, "the virtual-APIC address is physical",
              [](const View& v) {
                  return implies(has_shadow(v), is_physical(v, get<F::virtual_apic_address>(v)));
              }},
        Check{title::execution, "TPR threshold has no bit above 3",
              [](const View& v) {
                  return implies(has_shadow(v) && !delivers(v), get<F::tpr_threshold>(v) >> 4 == 0);
              }},
        Check{title::execution, "TPR threshold is not above the virtual TPR",
              [](const View& v) {
                  return !compares_threshold(v) ||
                         (get<F::tpr_threshold>(v) & 0xf) <= virtual_task_priority_class(v);
              }},
        Check{title::execution, "virtualizing the x2APIC mode excludes virtualizing APIC accesses",
              [](const View& v) {
                  return implies(has(v, SecondaryControl::virtualize_x2apic_mode),
                                 !has(v, SecondaryControl::virtualize_apic_accesses));
              }},
        Check{title::execution, "APIC virtualization needs the TPR shadow",
              [](const View& v) { return has_shadow(v) || is_without_page(v); }},
        Check{title::execution, "virtual-interrupt delivery needs external-interrupt exiting",
              [](const View& v) {
                  return implies(delivers(v), has(v, PinControl::external_interrupt_exiting));
              }},
        Check{title::execution, "posted interrupts need virtual-interrupt delivery",
              [](const View& v) { return implies(posts(v), delivers(v)); }},
        Check{title::execution, "posted interrupts need acknowledge interrupt on exit",
              [](const View& v) {
                  return implies(posts(v), has(v, ExitControl::acknowledge_interrupt_on_exit));
              }},
        Check{title::execution, "posted-interrupt notification vector has 8 bits",
              [](const View& v) {
                  return implies(posts(v),
                                 get<F::posted_interrupt_notification_vector>(v) >> 8 == 0);
              }},
        Check{title::execution, "the posted-interrupt descriptor is aligned to 64 bytes",
              [](const View& v) {
                  return implies(posts(v),
                                 get<F::posted_interrupt_descriptor_address>(v) % 64 == 0);
              }},
        Check{title::execution, "the posted-interrupt descriptor is physical",
              [](const View& v) {
                  return implies(posts(v),
                                 is_physical(v, get<F::posted_interrupt_descriptor_address>(v)));
              }},
    };
};

}  // namespace postern::vm_entry
