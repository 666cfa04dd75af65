// SPDX-License-Identifier: Apache-2.0
// SDM 3C, "Checks on VMX Controls": VM-execution control fields but EPT's (ept.h) and those of APIC
// virtualization (virtual_apic.h), and VM-exit control fields.
#pragma once

#include "arch/vmx/entry_checks/check.h"

namespace postern::vm_entry {

template <EntryView View>
struct ExecutionChecks {
    using Check = EntryCheck<View>;
    using F = VmcsField;

    static constexpr std::array rows{
        Check{title::execution, "pin-based controls have their fixed bits",
              [](const View& v) {
                  return accepts<ControlWord::pin>(v, get<F::pin_based_controls>(v));
              }},
        Check{title::execution, "primary processor-based controls have their fixed bits",
              [](const View& v) {
                  return accepts<ControlWord::primary>(v,
                                                       get<F::primary_processor_based_controls>(v));
              }},
        Check{title::execution,
              "secondary processor-based controls, if active, have no reserved bit",
              [](const View& v) {
                  return implies(has(v, PrimaryControl::activate_secondary_controls),
                                 accepts<ControlWord::secondary>(
                                     v, get<F::secondary_processor_based_controls>(v)));
              }},
        Check{title::execution, "the CR3-target count is supported",
              [](const View& v) {
                  return get<F::cr3_target_count>(v) <= v.misc().cr3_target_count();
              }},
        Check{title::execution, "I/O bitmaps are physical pages",
              [](const View& v) {
                  return implies(has(v, PrimaryControl::use_io_bitmaps),
                                 is_physical_page(v, get<F::io_bitmap_a>(v)) &&
                                     is_physical_page(v, get<F::io_bitmap_b>(v)));
              }},
        Check{title::execution, "the MSR bitmap is a physical page",
              [](const View& v) {
                  return implies(has(v, PrimaryControl::use_msr_bitmaps),
                                 is_physical_page(v, get<F::msr_bitmap>(v)));
              }},
        Check{title::execution, "virtual NMIs need NMI exiting",
              [](const View& v) {
                  return implies(has(v, PinControl::virtual_nmis), has(v, PinControl::nmi_exiting));
              }},
        Check{title::execution, "NMI-window exiting needs virtual NMIs",
              [](const View& v) {
                  return implies(has(v, PrimaryControl::nmi_window_exiting),
                                 has(v, PinControl::virtual_nmis));
              }},
        Check{title::execution, "the APIC-access address is aligned to a page",
              [](const View& v) {
                  return implies(has(v, SecondaryControl::virtualize_apic_accesses),
                                 get<F::apic_access_address>(v) % page_size == 0);
              }},
        Check{title::execution, "the APIC-access address is physical",
              [](const View& v) {
                  return implies(has(v, SecondaryControl::virtualize_apic_accesses),
                                 is_physical(v, get<F::apic_access_address>(v)));
              }},
        Check{title::execution, "the VPID is not 0",
              [](const View& v) {
                  return implies(has(v, SecondaryControl::enable_vpid),
                                 get<F::virtual_processor_identifier>(v) != 0);
              }},
        Check{title::execution, "the TSC multiplier is not 0",
              [](const View& v) {
                  return implies(has(v, SecondaryControl::use_tsc_scaling),
                                 get<F::tsc_multiplier>(v) != 0);
              }},
    };
};

template <EntryView View>
struct ExitingChecks {
    using Check = EntryCheck<View>;
    using F = VmcsField;

    static constexpr std::array rows{
        Check{title::exiting, "VM-exit controls have their fixed bits",
              [](const View& v) {
                  return accepts<ControlWord::exit>(v, get<F::vm_exit_controls>(v));
              }},
        Check{title::exiting, "saving the preemption timer needs the timer",
              [](const View& v) {
                  return implies(has(v, ExitControl::save_vmx_preemption_timer_value),
                                 has(v, PinControl::activate_vmx_preemption_timer));
              }},
        Check{title::exiting, "the VM-exit MSR-store area begins at a multiple of 16, physical",
              [](const View& v) {
                  return begins_validly(v, get<F::vm_exit_msr_store_count>(v),
                                        get<F::vm_exit_msr_store_address>(v));
              }},
        Check{title::exiting, "the VM-exit MSR-store area ends at a physical address",
              [](const View& v) {
                  return ends_validly(v, get<F::vm_exit_msr_store_count>(v),
                                      get<F::vm_exit_msr_store_address>(v));
              }},
        Check{title::exiting, "the VM-exit MSR-load area begins at a multiple of 16, physical",
              [](const View& v) {
                  return begins_validly(v, get<F::vm_exit_msr_load_count>(v),
                                        get<F::vm_exit_msr_load_address>(v));
              }},
        Check{title::exiting, "the VM-exit MSR-load area ends at a physical address",
              [](const View& v) {
                  return ends_validly(v, get<F::vm_exit_msr_load_count>(v),
                                      get<F::vm_exit_msr_load_address>(v));
              }},
    };
};

}  // namespace postern::vm_entry
