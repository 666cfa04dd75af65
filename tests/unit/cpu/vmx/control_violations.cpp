// SPDX-License-Identifier: Apache-2.0
// Violated VM-execution and VM-exit control fields.
#include "unit/cpu/vmx/violation.h"

namespace postern::cpu::vmx {
namespace {

using F = VmcsField;
using M = VmxMachine;

void virtualize_apic_accesses(M& m, u64 address) {
    m.turn_on(F::secondary_processor_based_controls, bit_of(0));
    m.set(F::apic_access_address, address);
}

void set_store_area(M& m, u64 count, u64 address) {
    m.set(F::vm_exit_msr_store_count, count);
    m.set(F::vm_exit_msr_store_address, address);
}

void set_load_area(M& m, u64 count, u64 address) {
    m.set(F::vm_exit_msr_load_count, count);
    m.set(F::vm_exit_msr_load_address, address);
}

constexpr Violation violations[]{
    {"pin-based controls have their fixed bits",
     [](M& m) { m.turn_on(F::pin_based_controls, bit_of(8)); }},
    {"pin-based controls have their fixed bits",
     [](M& m) { m.turn_off(F::pin_based_controls, bit_of(1)); }},
    {"primary processor-based controls have their fixed bits",
     [](M& m) { m.turn_on(F::primary_processor_based_controls, bit_of(17)); }},
    {"primary processor-based controls have their fixed bits",
     [](M& m) { m.turn_off(F::primary_processor_based_controls, bit_of(26)); }},
    {"secondary processor-based controls, if active, have no reserved bit",
     [](M& m) { m.turn_on(F::secondary_processor_based_controls, bit_of(24)); }},
    {"the CR3-target count is supported", [](M& m) { m.set(F::cr3_target_count, 5); }},
    {"I/O bitmaps are physical pages",
     [](M& m) {
         m.turn_on(F::primary_processor_based_controls, bit_of(25));
         m.set(F::io_bitmap_b, 0x5001);
     }},
    {"I/O bitmaps are physical pages",
     [](M& m) {
         m.turn_on(F::primary_processor_based_controls, bit_of(25));
         m.set(F::io_bitmap_a, too_wide);
     }},
    {"the MSR bitmap is a physical page", [](M& m) { m.set(F::msr_bitmap, too_wide); }},
    {"the MSR bitmap is a physical page", [](M& m) { m.set(F::msr_bitmap, 0x6800); }},
    {"virtual NMIs need NMI exiting", [](M& m) { m.turn_on(F::pin_based_controls, 0x20); }},
    {"NMI-window exiting needs virtual NMIs",
     [](M& m) { m.turn_on(F::primary_processor_based_controls, bit_of(22)); }},
    {"the APIC-access address is aligned to a page",
     [](M& m) { virtualize_apic_accesses(m, 0xfee0'0800); }},
    {"the APIC-access address is physical", [](M& m) { virtualize_apic_accesses(m, too_wide); }},
    {"the VPID is not 0", [](M& m) { m.set(F::virtual_processor_identifier, 0); }},
    {"the TSC multiplier is not 0",
     [](M& m) { m.turn_on(F::secondary_processor_based_controls, bit_of(25)); }},

    {"VM-exit controls have their fixed bits",
     [](M& m) { m.turn_on(F::vm_exit_controls, bit_of(23)); }},
    {"VM-exit controls have their fixed bits",
     [](M& m) { m.turn_off(F::vm_exit_controls, bit_of(0)); }},
    {"saving the preemption timer needs the timer",
     [](M& m) { m.turn_on(F::vm_exit_controls, bit_of(22)); }},
    {"the VM-exit MSR-store area begins at a multiple of 16, physical",
     [](M& m) { set_store_area(m, 1, 0x7408); }},
    {"the VM-exit MSR-store area begins at a multiple of 16, physical",
     [](M& m) { set_store_area(m, 1, too_wide); },
     "the VM-exit MSR-store area ends at a physical address"},
    {"the VM-exit MSR-store area ends at a physical address",
     [](M& m) { set_store_area(m, 2, too_wide - 16); }},
    {"the VM-exit MSR-load area begins at a multiple of 16, physical",
     [](M& m) { set_load_area(m, 1, 8); }},
    {"the VM-exit MSR-load area begins at a multiple of 16, physical",
     [](M& m) { set_load_area(m, 2, ~u64{0xf}); },  // its end does not wrap around
     "the VM-exit MSR-load area ends at a physical address"},
    {"the VM-exit MSR-load area ends at a physical address",
     [](M& m) { set_load_area(m, 2, too_wide - 16); }},
};

}  // namespace

std::span<const Violation> control_violations() { return violations; }

}  // namespace postern::cpu::vmx
