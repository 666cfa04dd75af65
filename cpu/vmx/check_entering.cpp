// SPDX-License-Identifier: Apache-2.0
// SDM 3C, "Checks on VMX Controls": VM-entry control fields, which are mostly those of the event
// to inject.
#include "cpu/vmx/check_control.h"

namespace postern::cpu::vmx {
namespace {

using F = VmcsField;

constexpr std::string_view title = "VM-Entry Control Fields";

/// A rule for the event, if there is one.
template <class Predicate>
bool of_injection(const Cpu& c, Predicate holds) {
    const InterruptionInformation event = injection(c);
    return !event.valid() || holds(event);
}

bool has_reserved_type(InterruptionInformation event) {
    const bool pending_mtf = event.type() == InterruptionType::other_event;
    const bool has_mtf = supported_controls.primary.has(PrimaryControl::monitor_trap_flag);
    return static_cast<u8>(event.type()) == 1 || (pending_mtf && !has_mtf);
}

/// #CP has an error code only where CET exists.
bool may_have_error_code(Vector vector) {
    return has_error_code(vector) && vector != Vector::control_protection;
}

/// True if and only if an error code must be delivered.
bool needs_error_code(const Cpu& c, InterruptionInformation event) {
    const bool protected_mode = !is_unrestricted_guest(c) || guest_cr0(c).has(Cr0::pe);
    return protected_mode && event.type() == InterruptionType::hardware_exception &&
           may_have_error_code(static_cast<Vector>(event.vector()));
}

bool is_valid_length(u32 length) {
    return length <= 15 && (length != 0 || vmx_misc.zero_length_injection());
}

constexpr std::array rows{
    EntryCheck{title, "VM-entry controls have their fixed bits",
               [](Cpu& c) { return accepts<ControlWord::entry>(get<F::vm_entry_controls>(c)); }},
    EntryCheck{title, "the interruption type is not reserved",
               [](Cpu& c) {
                   return of_injection(
                       c, [](InterruptionInformation e) { return !has_reserved_type(e); });
               }},
    EntryCheck{title, "an NMI has vector 2",
               [](Cpu& c) {
                   return implies(injects(c, InterruptionType::nmi), injection(c).vector() == 2);
               }},
    EntryCheck{title, "a hardware exception has a vector of at most 31",
               [](Cpu& c) {
                   return implies(injects(c, InterruptionType::hardware_exception),
                                  injection(c).vector() <= 31);
               }},
    EntryCheck{title, "an other event has vector 0",
               [](Cpu& c) {
                   return implies(injects(c, InterruptionType::other_event),
                                  injection(c).vector() == 0);
               }},
    EntryCheck{title, "an error code is delivered exactly where the exception has one",
               [](Cpu& c) {
                   return of_injection(c, [&c](InterruptionInformation e) {
                       return e.error_code_valid() == needs_error_code(c, e);
                   });
               }},
    EntryCheck{title, "the interruption information has no reserved bit",
               [](Cpu& c) {
                   return of_injection(c, [](InterruptionInformation e) {
                       return (e.to_raw() & entry_interruption_reserved) == 0;
                   });
               }},
    // Bit 15 is legal: it is the SGX bit of a page fault's error code.
    EntryCheck{title, "a delivered error code has no bit above 15",
               [](Cpu& c) {
                   return of_injection(c, [&c](InterruptionInformation e) {
                       return implies(e.error_code_valid(),
                                      get<F::vm_entry_exception_error_code>(c) >> 16 == 0);
                   });
               }},
    EntryCheck{title, "a software event has the length of an instruction",
               [](Cpu& c) {
                   return of_injection(c, [&c](InterruptionInformation e) {
                       return implies(e.uses_instruction_length(),
                                      is_valid_length(get<F::vm_entry_instruction_length>(c)));
                   });
               }},
    EntryCheck{title, "the VM-entry MSR-load area begins at a multiple of 16, physical",
               [](Cpu& c) {
                   return begins_validly(c, get<F::vm_entry_msr_load_count>(c),
                                         get<F::vm_entry_msr_load_address>(c));
               }},
    EntryCheck{title, "the VM-entry MSR-load area ends at a physical address",
               [](Cpu& c) {
                   return ends_validly(c, get<F::vm_entry_msr_load_count>(c),
                                       get<F::vm_entry_msr_load_address>(c));
               }},
};
static_assert(has_unique_keys(rows, [](const EntryCheck& check) { return check.rule; }));

}  // namespace

CheckRows entering_checks() { return check_rows<rows>(); }

}  // namespace postern::cpu::vmx
