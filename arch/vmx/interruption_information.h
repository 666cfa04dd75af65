// SPDX-License-Identifier: Apache-2.0
// The event word of the VMCS: VM-entry and VM-exit interruption information and IDT-vectoring
// information share one format.
#pragma once

#include "arch/exception.h"
#include "arch/vmx/raw_view.h"

namespace postern {

enum class InterruptionType : u8 {
    external = 0,
    nmi = 2,
    hardware_exception = 3,
    software_interrupt = 4,
    privileged_software_exception = 5,  // INT1
    software_exception = 6,             // INT3, INTO
    other_event = 7,
};

/// SDM 3C, "Information for VM Exits Due to Vectored Events".
class InterruptionInformation : public RawView<InterruptionInformation, u32> {
public:
    [[nodiscard]] constexpr u8 vector() const { return static_cast<u8>(field<7, 0>()); }
    [[nodiscard]] constexpr InterruptionType type() const {
        return static_cast<InterruptionType>(field<10, 8>());
    }
    [[nodiscard]] constexpr bool error_code_valid() const { return flag<11>(); }
    /// VM-exit interruption information only.
    [[nodiscard]] constexpr bool nmi_unblocking_due_to_iret() const { return flag<12>(); }
    [[nodiscard]] constexpr bool valid() const { return flag<31>(); }

    [[nodiscard]] constexpr bool is_exception(Vector wanted) const {
        return valid() && vector() == static_cast<u8>(wanted) &&
               (type() == InterruptionType::hardware_exception ||
                type() == InterruptionType::software_exception ||
                type() == InterruptionType::privileged_software_exception);
    }
    /// Types 4, 5 and 6: injection uses the VM-entry instruction length.
    [[nodiscard]] constexpr bool uses_instruction_length() const {
        return type() >= InterruptionType::software_interrupt &&
               type() <= InterruptionType::software_exception;
    }

    static constexpr InterruptionInformation of(InterruptionType type, u8 vector,
                                                bool has_error = false) {
        return from_raw(u32{vector} | u32{static_cast<u8>(type)} << 8 | u32{has_error} << 11 |
                        1u << 31);
    }
    static constexpr InterruptionInformation hardware_exception(Vector vector, bool has_error) {
        return of(InterruptionType::hardware_exception, static_cast<u8>(vector), has_error);
    }
    /// With an error code where the vector has one outside real-address mode.
    static constexpr InterruptionInformation hardware_exception(Vector vector) {
        return hardware_exception(vector, has_error_code(vector));
    }
    static constexpr InterruptionInformation external(u8 vector) {
        return of(InterruptionType::external, vector);
    }
    static constexpr InterruptionInformation nmi() {
        return of(InterruptionType::nmi, static_cast<u8>(Vector::nmi));
    }
    static constexpr InterruptionInformation software_interrupt(u8 vector) {
        return of(InterruptionType::software_interrupt, vector);
    }
    static constexpr InterruptionInformation software_exception(Vector vector) {
        return of(InterruptionType::software_exception, static_cast<u8>(vector));
    }
    static constexpr InterruptionInformation privileged_software_exception() {
        return of(InterruptionType::privileged_software_exception, static_cast<u8>(Vector::debug));
    }
    /// A pending MTF VM exit. SDM 3C, "Injection of Pending MTF VM Exits".
    static constexpr InterruptionInformation pending_mtf() {
        return of(InterruptionType::other_event, 0);
    }
    [[nodiscard]] constexpr InterruptionInformation with_nmi_unblocking(bool on = true) const {
        return with_flag<12>(on);
    }
};

/// Bits that must be 0 in a valid VM-entry interruption-information field. SDM 3C, "VM-Entry
/// Control Fields".
inline constexpr u32 entry_interruption_reserved = 0x7fff'f000;

}  // namespace postern
