// SPDX-License-Identifier: Apache-2.0
// SDM 3C, "Checks on VMX Controls", without EPT's (check_ept.cpp). Controls that are not
// implemented need no checks of their own: the capability rows refuse them.
#include <array>

#include "arch/regs/cr0.h"
#include "arch/vmx/interruption_information.h"
#include "cpu/vmx/capability.h"
#include "cpu/vmx/check.h"

namespace postern::cpu::vmx {
namespace {

using F = VmcsField;

constexpr std::string_view execution = "VM-Execution Control Fields";
constexpr std::string_view exiting = "VM-Exit Control Fields";
constexpr std::string_view entering = "VM-Entry Control Fields";

bool accepts(ControlWord word, u32 controls) { return true_capability(word).accepts(controls); }

/// An MSR area: 16-byte entries, aligned, first and last byte within the physical-address width.
bool is_valid_area(const Cpu& c, u32 count, u64 address) {
    if (count == 0) return true;
    const u64 last = address + u64{count} * 16 - 1;
    return address % 16 == 0 && is_physical(c, address) && is_physical(c, last);
}

InterruptionInformation injection(const Cpu& c) {
    return InterruptionInformation::from_raw(get<F::vm_entry_interruption_information>(c));
}

bool is_valid_vector(InterruptionInformation event) {
    switch (event.type()) {
        case InterruptionType::nmi: return event.vector() == static_cast<u8>(Vector::nmi);
        case InterruptionType::hardware_exception:
            return event.vector() < architectural_vector_count;
        case InterruptionType::other_event: return event.vector() == 0;
        default: return true;
    }
}

/// True if and only if an error code must be delivered. #CP has one only where CET exists.
bool needs_error_code(const Cpu& c, InterruptionInformation event) {
    const bool protected_mode = !has(c, SecondaryControl::unrestricted_guest) ||
                                Cr0Word::from_raw(get<F::guest_cr0>(c)).has(Cr0::pe);
    const auto vector = static_cast<Vector>(event.vector());
    return protected_mode && event.type() == InterruptionType::hardware_exception &&
           has_error_code(vector) && vector != Vector::control_protection;
}

bool is_valid_injection_length(const Cpu& c) {
    const u32 length = get<F::vm_entry_instruction_length>(c);
    return length <= 15 && (length != 0 || vmx_misc.zero_length_injection());
}

constexpr std::array checks{
    EntryCheck{execution, "pin-based controls are supported",
               [](Cpu& c) { return accepts(ControlWord::pin, get<F::pin_based_controls>(c)); }},
    EntryCheck{execution, "primary processor-based controls are supported",
               [](Cpu& c) {
                   return accepts(ControlWord::primary,
                                  get<F::primary_processor_based_controls>(c));
               }},
    EntryCheck{execution, "secondary processor-based controls are supported",
               [](Cpu& c) {
                   return implies(has(c, PrimaryControl::activate_secondary_controls),
                                  accepts(ControlWord::secondary,
                                          get<F::secondary_processor_based_controls>(c)));
               }},
    EntryCheck{execution, "CR3-target count is supported",
               [](Cpu& c) { return get<F::cr3_target_count>(c) <= cr3_target_limit; }},
    EntryCheck{execution, "I/O bitmaps are physical pages",
               [](Cpu& c) {
                   return implies(has(c, PrimaryControl::use_io_bitmaps),
                                  is_physical_page(c, get<F::io_bitmap_a>(c)) &&
                                      is_physical_page(c, get<F::io_bitmap_b>(c)));
               }},
    EntryCheck{execution, "MSR bitmap is a physical page",
               [](Cpu& c) {
                   return implies(has(c, PrimaryControl::use_msr_bitmaps),
                                  is_physical_page(c, get<F::msr_bitmap>(c)));
               }},
    EntryCheck{execution, "APIC-access address is a physical page",
               [](Cpu& c) {
                   return implies(has(c, SecondaryControl::virtualize_apic_accesses),
                                  is_physical_page(c, get<F::apic_access_address>(c)));
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
    EntryCheck{execution, "VPID is not 0",
               [](Cpu& c) {
                   return implies(has(c, SecondaryControl::enable_vpid),
                                  get<F::virtual_processor_identifier>(c) != 0);
               }},

    EntryCheck{exiting, "VM-exit controls are supported",
               [](Cpu& c) { return accepts(ControlWord::exit, get<F::vm_exit_controls>(c)); }},
    EntryCheck{exiting, "saving the preemption timer needs the timer",
               [](Cpu& c) {
                   return implies(has(c, ExitControl::save_vmx_preemption_timer_value),
                                  has(c, PinControl::activate_vmx_preemption_timer));
               }},
    EntryCheck{exiting, "VM-exit MSR-store area is aligned and physical",
               [](Cpu& c) {
                   return is_valid_area(c, get<F::vm_exit_msr_store_count>(c),
                                        get<F::vm_exit_msr_store_address>(c));
               }},
    EntryCheck{exiting, "VM-exit MSR-load area is aligned and physical",
               [](Cpu& c) {
                   return is_valid_area(c, get<F::vm_exit_msr_load_count>(c),
                                        get<F::vm_exit_msr_load_address>(c));
               }},

    EntryCheck{entering, "VM-entry controls are supported",
               [](Cpu& c) { return accepts(ControlWord::entry, get<F::vm_entry_controls>(c)); }},
    EntryCheck{entering, "interruption type is not reserved",
               [](Cpu& c) {
                   return implies(injection(c).valid(), static_cast<u8>(injection(c).type()) != 1);
               }},
    EntryCheck{entering, "vector fits the interruption type",
               [](Cpu& c) { return implies(injection(c).valid(), is_valid_vector(injection(c))); }},
    EntryCheck{entering, "error code is delivered exactly where the exception has one",
               [](Cpu& c) {
                   const auto event = injection(c);
                   return implies(event.valid(),
                                  event.error_code_valid() == needs_error_code(c, event));
               }},
    EntryCheck{entering, "interruption information has no reserved bit",
               [](Cpu& c) {
                   return implies(injection(c).valid(),
                                  (injection(c).to_raw() & entry_interruption_reserved) == 0);
               }},
    // Bit 15 is legal: it is the SGX bit of a page fault's error code.
    EntryCheck{entering, "error code has no bit above 15",
               [](Cpu& c) {
                   const auto event = injection(c);
                   return implies(event.valid() && event.error_code_valid(),
                                  get<F::vm_entry_exception_error_code>(c) >> 16 == 0);
               }},
    EntryCheck{entering, "instruction length is that of an instruction",
               [](Cpu& c) {
                   const auto event = injection(c);
                   return implies(event.valid() && event.uses_instruction_length(),
                                  is_valid_injection_length(c));
               }},
    EntryCheck{entering, "VM-entry MSR-load area is aligned and physical",
               [](Cpu& c) {
                   return is_valid_area(c, get<F::vm_entry_msr_load_count>(c),
                                        get<F::vm_entry_msr_load_address>(c));
               }},
};
static_assert(has_unique_keys(checks, [](const EntryCheck& check) { return check.rule; }));

}  // namespace

std::span<const EntryCheck> control_checks() { return checks; }

}  // namespace postern::cpu::vmx
