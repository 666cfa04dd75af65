// SPDX-License-Identifier: Apache-2.0
// SDM 3C, "Checks on VMX Controls": VM-execution control fields but EPT's (check_ept.cpp) and those
// of APIC virtualization (check_virtual_apic.cpp), and VM-exit control fields.
#include "cpu/vmx/capability.h"
#include "cpu/vmx/check.h"
#include "cpu/vmx/check_control.h"

namespace postern::cpu::vmx {
namespace {

using F = VmcsField;

constexpr std::string_view execution = "VM-Execution Control Fields";
constexpr std::string_view exiting = "VM-Exit Control Fields";

constexpr std::array execution_rows{
    EntryCheck{execution, "pin-based controls have their fixed bits",
               [](Cpu& c) { return accepts<ControlWord::pin>(get<F::pin_based_controls>(c)); }},
    EntryCheck{execution, "primary processor-based controls have their fixed bits",
               [](Cpu& c) {
                   return accepts<ControlWord::primary>(
                       get<F::primary_processor_based_controls>(c));
               }},
    EntryCheck{execution, "secondary processor-based controls, if active, have no reserved bit",
               [](Cpu& c) {
                   return implies(has(c, PrimaryControl::activate_secondary_controls),
                                  accepts<ControlWord::secondary>(
                                      get<F::secondary_processor_based_controls>(c)));
               }},
    EntryCheck{execution, "the CR3-target count is supported",
               [](Cpu& c) { return get<F::cr3_target_count>(c) <= cr3_target_limit; }},
    EntryCheck{execution, "I/O bitmaps are physical pages",
               [](Cpu& c) {
                   return implies(has(c, PrimaryControl::use_io_bitmaps),
                                  is_physical_page(c, get<F::io_bitmap_a>(c)) &&
                                      is_physical_page(c, get<F::io_bitmap_b>(c)));
               }},
    EntryCheck{execution, "the MSR bitmap is a physical page",
               [](Cpu& c) {
                   return implies(has(c, PrimaryControl::use_msr_bitmaps),
                                  is_physical_page(c, get<F::msr_bitmap>(c)));
               }},
    EntryCheck{execution, "virtual NMIs need NMI exiting",
               [](Cpu& c) {
                   return implies(has(c, PinControl::virtual_nmis),
                                  has(c, PinControl::nmi_exiting));
               }},
    EntryCheck{execution, "NMI-window exiting needs virtual NMIs",
               [](Cpu& c) {
                   return implies(has(c, PrimaryControl::nmi_window_exiting),
                                  has(c, PinControl::virtual_nmis));
               }},
    EntryCheck{execution, "the APIC-access address is aligned to a page",
               [](Cpu& c) {
                   return implies(has(c, SecondaryControl::virtualize_apic_accesses),
                                  get<F::apic_access_address>(c) % page_size == 0);
               }},
    EntryCheck{execution, "the APIC-access address is physical",
               [](Cpu& c) {
                   return implies(has(c, SecondaryControl::virtualize_apic_accesses),
                                  is_physical(c, get<F::apic_access_address>(c)));
               }},
    EntryCheck{execution, "the VPID is not 0",
               [](Cpu& c) {
                   return implies(has(c, SecondaryControl::enable_vpid),
                                  get<F::virtual_processor_identifier>(c) != 0);
               }},
    EntryCheck{execution, "the TSC multiplier is not 0",
               [](Cpu& c) {
                   return implies(has(c, SecondaryControl::use_tsc_scaling),
                                  get<F::tsc_multiplier>(c) != 0);
               }},
};
static_assert(has_unique_keys(execution_rows, [](const EntryCheck& check) { return check.rule; }));

constexpr std::array exiting_rows{
    EntryCheck{exiting, "VM-exit controls have their fixed bits",
               [](Cpu& c) { return accepts<ControlWord::exit>(get<F::vm_exit_controls>(c)); }},
    EntryCheck{exiting, "saving the preemption timer needs the timer",
               [](Cpu& c) {
                   return implies(has(c, ExitControl::save_vmx_preemption_timer_value),
                                  has(c, PinControl::activate_vmx_preemption_timer));
               }},
    EntryCheck{exiting, "the VM-exit MSR-store area begins at a multiple of 16, physical",
               [](Cpu& c) {
                   return begins_validly(c, get<F::vm_exit_msr_store_count>(c),
                                         get<F::vm_exit_msr_store_address>(c));
               }},
    EntryCheck{exiting, "the VM-exit MSR-store area ends at a physical address",
               [](Cpu& c) {
                   return ends_validly(c, get<F::vm_exit_msr_store_count>(c),
                                       get<F::vm_exit_msr_store_address>(c));
               }},
    EntryCheck{exiting, "the VM-exit MSR-load area begins at a multiple of 16, physical",
               [](Cpu& c) {
                   return begins_validly(c, get<F::vm_exit_msr_load_count>(c),
                                         get<F::vm_exit_msr_load_address>(c));
               }},
    EntryCheck{exiting, "the VM-exit MSR-load area ends at a physical address",
               [](Cpu& c) {
                   return ends_validly(c, get<F::vm_exit_msr_load_count>(c),
                                       get<F::vm_exit_msr_load_address>(c));
               }},
};
static_assert(has_unique_keys(exiting_rows, [](const EntryCheck& check) { return check.rule; }));

}  // namespace

CheckRows execution_checks() { return check_rows<execution_rows>(); }
CheckRows exiting_checks() { return check_rows<exiting_rows>(); }

}  // namespace postern::cpu::vmx
