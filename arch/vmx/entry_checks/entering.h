// SPDX-License-Identifier: Apache-2.0
// SDM 3C, "Checks on VMX Controls": VM-entry control fields, which are mostly those of the event
// to inject.
#pragma once

#include "arch/vmx/entry_checks/check.h"

namespace postern::vm_entry {

/// A rule for the event, if there is one.
template <class Predicate>
constexpr bool of_injection(const EntryView auto& v, Predicate holds) {
    const InterruptionInformation event = injection(v);
    return !event.valid() || holds(event);
}

constexpr bool has_reserved_type(const EntryView auto& v, InterruptionInformation event) {
    const bool pending_mtf = event.type() == InterruptionType::other_event;
    const bool has_mtf =
        v.template capability<ControlWord::primary>().allows(PrimaryControl::monitor_trap_flag);
    return static_cast<u8>(event.type()) == 1 || (pending_mtf && !has_mtf);
}

/// #CP has an error code only where CET exists.
constexpr bool has_error_code(const EntryView auto& v, Vector vector) {
    const bool has_cet = Cr4Word::from_raw(v.cr4_fixed1()).has(Cr4::cet);
    return has_error_code(vector) && (vector != Vector::control_protection || has_cet);
}

/// Of a hardware exception outside real-address mode a processor may leave it to software whether
/// there is an error code; there is none with any other event.
constexpr bool is_error_code_right(const EntryView auto& v, InterruptionInformation event) {
    const bool protected_mode = !is_unrestricted_guest(v) || guest_cr0(v).has(Cr0::pe);
    if (!protected_mode || event.type() != InterruptionType::hardware_exception)
        return !event.error_code_valid();
    return v.basic().any_error_code() ||
           event.error_code_valid() == has_error_code(v, static_cast<Vector>(event.vector()));
}

constexpr bool is_valid_length(const EntryView auto& v, u32 length) {
    return length <= 15 && (length != 0 || v.misc().zero_length_injection());
}

template <EntryView View>
struct EnteringChecks {
    using Check = EntryCheck<View>;
    using F = VmcsField;

    static constexpr std::array rows{
        Check{title::entering, "VM-entry controls have their fixed bits",
              [](const View& v) {
                  return accepts<ControlWord::entry>(v, get<F::vm_entry_controls>(v));
              }},
        Check{title::entering, "the interruption type is not reserved",
              [](const View& v) {
                  return of_injection(
                      v, [&v](InterruptionInformation e) { return !has_reserved_type(v, e); });
              }},
        Check{title::entering, "an NMI has vector 2",
              [](const View& v) {
                  return implies(injects(v, InterruptionType::nmi), injection(v).vector() == 2);
              }},
        Check{title::entering, "a hardware exception has a vector of at most 31",
              [](const View& v) {
                  return implies(injects(v, InterruptionType::hardware_exception),
                                 injection(v).vector() <= 31);
              }},
        Check{title::entering, "an other event has vector 0",
              [](const View& v) {
                  return implies(injects(v, InterruptionType::other_event),
                                 injection(v).vector() == 0);
              }},
        Check{title::entering, "an error code is delivered exactly where the exception has one",
              [](const View& v) {
                  return of_injection(
                      v, [&v](InterruptionInformation e) { return is_error_code_right(v, e); });
              }},
        Check{title::entering, "the interruption information has no reserved bit",
              [](const View& v) {
                  return of_injection(v, [](InterruptionInformation e) {
                      return (e.to_raw() & entry_interruption_reserved) == 0;
                  });
              }},
        // Bit 15 is legal: it is the SGX bit of a page fault's error code.
        Check{title::entering, "a delivered error code has no bit above 15",
              [](const View& v) {
                  return of_injection(v, [&v](InterruptionInformation e) {
                      return implies(e.error_code_valid(),
                                     get<F::vm_entry_exception_error_code>(v) >> 16 == 0);
                  });
              }},
        Check{title::entering, "a software event has the length of an instruction",
              [](const View& v) {
                  return of_injection(v, [&v](InterruptionInformation e) {
                      return implies(e.uses_instruction_length(),
                                     is_valid_length(v, get<F::vm_entry_instruction_length>(v)));
                  });
              }},
        Check{title::entering, "the VM-entry MSR-load area begins at a multiple of 16, physical",
              [](const View& v) {
                  return begins_validly(v, get<F::vm_entry_msr_load_count>(v),
                                        get<F::vm_entry_msr_load_address>(v));
              }},
        Check{title::entering, "the VM-entry MSR-load area ends at a physical address",
              [](const View& v) {
                  return ends_validly(v, get<F::vm_entry_msr_load_count>(v),
                                      get<F::vm_entry_msr_load_address>(v));
              }},
    };
};

}  // namespace postern::vm_entry
