// SPDX-License-Identifier: Apache-2.0
// SDM 3C, "VM-Execution Control Fields": what VM entry asks of the controls and fields of APIC
// virtualization.
#include <array>

#include "cpu/vmx/check.h"
#include "cpu/vmx/virtual_apic.h"

namespace postern::cpu::vmx {
namespace {

using F = VmcsField;

constexpr std::string_view execution = "VM-Execution Control Fields";

bool has_shadow(const Cpu& c) { return has(c, PrimaryControl::use_tpr_shadow); }
bool posts(const Cpu& c) { return has(c, PinControl::process_posted_interrupts); }
bool delivers(const Cpu& c) { return has(c, SecondaryControl::virtual_interrupt_delivery); }

/// Nothing of what depends on the virtual-APIC page is on.
bool is_without_page(const Cpu& c) {
    return !has(c, SecondaryControl::virtualize_x2apic_mode) &&
           !has(c, SecondaryControl::apic_register_virtualization) && !delivers(c);
}

/// In this case alone: with APIC accesses virtualized there is a VM exit right after VM entry. A
/// page that is bad itself is not read.
bool compares_threshold(const Cpu& c) {
    return has_shadow(c) && !delivers(c) && !has(c, SecondaryControl::virtualize_apic_accesses) &&
           is_physical_page(c, get<F::virtual_apic_address>(c));
}

constexpr std::array checks{
    EntryCheck{execution, "the virtual-APIC address is aligned to a page",
               [](Cpu& c) {
                   return implies(has_shadow(c), get<F::virtual_apic_address>(c) % page_size == 0);
               }},
    EntryCheck{execution, "the virtual-APIC address is physical",
               [](Cpu& c) {
                   return implies(has_shadow(c), is_physical(c, get<F::virtual_apic_address>(c)));
               }},
    EntryCheck{execution, "TPR threshold has no bit above 3",
               [](Cpu& c) {
                   return implies(has_shadow(c) && !delivers(c),
                                  get<F::tpr_threshold>(c) >> 4 == 0);
               }},
    EntryCheck{execution, "TPR threshold is not above the virtual TPR",
               [](Cpu& c) {
                   return !compares_threshold(c) ||
                          (get<F::tpr_threshold>(c) & 0xf) <= virtual_task_priority(c) >> 4;
               }},
    EntryCheck{execution, "virtualizing the x2APIC mode excludes virtualizing APIC accesses",
               [](Cpu& c) {
                   return implies(has(c, SecondaryControl::virtualize_x2apic_mode),
                                  !has(c, SecondaryControl::virtualize_apic_accesses));
               }},
    EntryCheck{execution, "APIC virtualization needs the TPR shadow",
               [](Cpu& c) { return has_shadow(c) || is_without_page(c); }},
    EntryCheck{execution, "virtual-interrupt delivery needs external-interrupt exiting",
               [](Cpu& c) {
                   return implies(delivers(c), has(c, PinControl::external_interrupt_exiting));
               }},
    EntryCheck{execution, "posted interrupts need virtual-interrupt delivery",
               [](Cpu& c) { return implies(posts(c), delivers(c)); }},
    EntryCheck{execution, "posted interrupts need acknowledge interrupt on exit",
               [](Cpu& c) {
                   return implies(posts(c), has(c, ExitControl::acknowledge_interrupt_on_exit));
               }},
    EntryCheck{execution, "posted-interrupt notification vector has 8 bits",
               [](Cpu& c) {
                   return implies(posts(c),
                                  get<F::posted_interrupt_notification_vector>(c) >> 8 == 0);
               }},
    EntryCheck{execution, "the posted-interrupt descriptor is aligned to 64 bytes",
               [](Cpu& c) {
                   return implies(posts(c),
                                  get<F::posted_interrupt_descriptor_address>(c) % 64 == 0);
               }},
    EntryCheck{execution, "the posted-interrupt descriptor is physical",
               [](Cpu& c) {
                   return implies(posts(c),
                                  is_physical(c, get<F::posted_interrupt_descriptor_address>(c)));
               }},
};
static_assert(has_unique_keys(checks, [](const EntryCheck& check) { return check.rule; }));

}  // namespace

CheckRows virtual_apic_checks() { return check_rows<checks>(); }

}  // namespace postern::cpu::vmx
