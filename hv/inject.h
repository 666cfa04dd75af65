// SPDX-License-Identifier: Apache-2.0
// Events on their way into the guest. An event carries its type from where it came from; the
// type is never made from the vector, for a #BP of an enclave is of type 3 where all others
// are of type 6.
#pragma once

#include "arch/vmx/interruption_information.h"
#include "hv/protections.h"

namespace postern::hv {

/// information.valid() false: no event.
struct Event {
    InterruptionInformation information;
    u32 error_code = 0;
    u32 instruction_length = 0;

    [[nodiscard]] constexpr bool valid() const { return information.valid(); }
    [[nodiscard]] constexpr bool is_exception() const {
        const InterruptionType type = information.type();
        return type == InterruptionType::hardware_exception ||
               type == InterruptionType::software_exception ||
               type == InterruptionType::privileged_software_exception;
    }
    friend constexpr bool operator==(const Event&, const Event&) = default;

    static constexpr Event exception(Vector vector, u32 error_code = 0) {
        return {InterruptionInformation::hardware_exception(vector), error_code, 0};
    }
};

/// The event that an exit's information fields describe, ready to be injected: bits that only
/// an exit defines are dropped. SDM 3C, "Information for VM Exits Due to Vectored Events".
constexpr Event event_from_exit(InterruptionInformation information, u32 error_code,
                                u32 instruction_length) {
    // INT1 in a debug enclave: the #DB is fault-like and has no length, which as a privileged
    // software exception only some processors take at entry. As a hardware exception it is the
    // same #DB at the same RIP.
    const bool fault_like_int1 =
        information.is_exception(Vector::debug) && instruction_length == 0 &&
        information.type() == InterruptionType::privileged_software_exception;
    if (fault_like_int1) return Event::exception(Vector::debug);
    const u32 kept = information.to_raw() & ~entry_interruption_reserved;
    return {InterruptionInformation::from_raw(kept),
            information.error_code_valid() ? error_code : 0, instruction_length};
}

/// Whether VM entry takes the event. An honest processor never reports one that it would not;
/// events of type 7 are none that an exit hands over. In real-address mode no exception has an
/// error code, and the entry is told of none. SDM 3C, "VM-Entry Control Fields".
constexpr bool is_injectable(const Event& event, bool protected_mode = true,
                             bool zero_length = false) {
    const InterruptionInformation information = event.information;
    if ((information.to_raw() & entry_interruption_reserved) != 0) return false;
    const auto vector = static_cast<Vector>(information.vector());
    const bool hardware = information.type() == InterruptionType::hardware_exception;
    const bool has_code =
        hardware && has_error_code(vector) && vector != Vector::control_protection;
    if (protected_mode && information.error_code_valid() != has_code) return false;
    if (protected_mode && has_code && event.error_code >> 16 != 0) return false;
    switch (information.type()) {
        case InterruptionType::external: return true;
        case InterruptionType::nmi: return vector == Vector::nmi;
        case InterruptionType::hardware_exception:
            return information.vector() < architectural_vector_count;
        case InterruptionType::software_interrupt:
        case InterruptionType::privileged_software_exception:
        case InterruptionType::software_exception:
            return event.instruction_length >= (zero_length ? 0 : 1) &&
                   event.instruction_length <= 15;
        default: return false;
    }
}

/// What VM entry is told. SDM 3C, "VM-Entry Controls for Event Injection".
constexpr InterruptionInformation entry_information(const Event& event, Protections protections) {
    if (protections.has(Protection::bp_type) || !event.is_exception()) return event.information;
    const auto vector = static_cast<Vector>(event.information.vector());
    const bool soft = vector == Vector::breakpoint || vector == Vector::overflow;
    return InterruptionInformation::of(
        soft ? InterruptionType::software_exception : InterruptionType::hardware_exception,
        event.information.vector(), event.information.error_code_valid());
}

/// What to inject when `second` is met while `first` waits for its delivery, or was being
/// delivered. SDM 3C, "Information for VM Exits That Occur During Event Delivery".
struct Merged {
    Event event;
    bool triple_fault = false;
    bool first_waits = false;  // an interrupt, to be delivered after `event`
};
constexpr Merged merge(const Event& first, const Event& second) {
    if (!second.valid()) return {first};
    if (!first.valid()) return {second};
    const bool hardware = first.information.type() == InterruptionType::hardware_exception;
    if (!hardware)
        return {second, false,
                !first.is_exception() && !first.information.uses_instruction_length()};
    if (!second.is_exception()) return {first};
    switch (combine(static_cast<Vector>(first.information.vector()),
                    static_cast<Vector>(second.information.vector()))) {
        case Combination::triple_fault: return {second, true};
        case Combination::double_fault: return {Event::exception(Vector::double_fault)};
        default: return {second};
    }
}

}  // namespace postern::hv
