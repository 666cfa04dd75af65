// SPDX-License-Identifier: Apache-2.0
// Violated VM-execution control fields of APIC virtualization.
#include "unit/cpu/vmx/violation.h"

namespace postern::cpu::vmx {
namespace {

using F = VmcsField;
using M = VmxMachine;

constexpr u64 page = 0xe000, descriptor = 0xf000;

// Bits of the control words.
constexpr u64 shadow = bit_of(21);
constexpr u64 accesses = 1, x2apic = bit_of(4), registers = bit_of(8), delivery = bit_of(9);
constexpr u64 external = 1, posted = bit_of(7), acknowledge = bit_of(15);

/// A TPR shadow, the TPR above its threshold, and secondary controls that go with it.
void add_shadow(M& m, u64 secondary = 0) {
    m.turn_on(F::primary_processor_based_controls, shadow);
    m.turn_on(F::secondary_processor_based_controls, secondary);
    if ((secondary & delivery) != 0) m.turn_on(F::pin_based_controls, external);
    m.set(F::virtual_apic_address, page);
    m.set(F::apic_access_address, 0xfee0'0000);
}

void add_posting(M& m) {
    add_shadow(m, delivery);
    m.turn_on(F::pin_based_controls, posted);
    m.turn_on(F::vm_exit_controls, acknowledge);
    m.set(F::posted_interrupt_notification_vector, 0xff);
    m.set(F::posted_interrupt_descriptor_address, descriptor);
}

void shadow_at(M& m, u64 address) {
    add_shadow(m);
    m.set(F::virtual_apic_address, address);
}

void post_to(M& m, u64 address) {
    add_posting(m);
    m.set(F::posted_interrupt_descriptor_address, address);
}

/// Controls that need the shadow, without it.
void without_shadow(M& m, u64 secondary) {
    add_shadow(m, secondary);
    m.turn_off(F::primary_processor_based_controls, shadow);
}

constexpr std::string_view needs_shadow = "APIC virtualization needs the TPR shadow";

constexpr Violation violations[]{
    {"the virtual-APIC address is aligned to a page", [](M& m) { shadow_at(m, page + 0x800); }},
    {"the virtual-APIC address is physical", [](M& m) { shadow_at(m, too_wide); }},
    {"TPR threshold has no bit above 3",
     [](M& m) {
         add_shadow(m);
         m.set(F::tpr_threshold, 0x10);
     }},
    {"TPR threshold is not above the virtual TPR",
     [](M& m) {
         add_shadow(m);
         write_physical(m.c, Hpa{page + 0x80}, 4, 0x7f);
         m.set(F::tpr_threshold, 8);
     }},
    {"virtualizing the x2APIC mode excludes virtualizing APIC accesses",
     [](M& m) { add_shadow(m, x2apic | accesses); }},
    {needs_shadow, [](M& m) { without_shadow(m, x2apic); }},
    {needs_shadow, [](M& m) { without_shadow(m, registers); }},
    {needs_shadow, [](M& m) { without_shadow(m, delivery); }},
    {"virtual-interrupt delivery needs external-interrupt exiting",
     [](M& m) {
         add_shadow(m, delivery);
         m.turn_off(F::pin_based_controls, external);
     }},
    {"posted interrupts need virtual-interrupt delivery",
     [](M& m) {
         add_posting(m);
         m.turn_off(F::secondary_processor_based_controls, delivery);
     }},
    {"posted interrupts need acknowledge interrupt on exit",
     [](M& m) {
         add_posting(m);
         m.turn_off(F::vm_exit_controls, acknowledge);
     }},
    {"posted-interrupt notification vector has 8 bits",
     [](M& m) {
         add_posting(m);
         m.set(F::posted_interrupt_notification_vector, 0x1ff);
     }},
    {"the posted-interrupt descriptor is aligned to 64 bytes",
     [](M& m) { post_to(m, descriptor + 32); }},
    {"the posted-interrupt descriptor is physical", [](M& m) { post_to(m, too_wide); }},
};

}  // namespace

std::span<const Violation> virtual_apic_violations() { return violations; }

}  // namespace postern::cpu::vmx
