// SPDX-License-Identifier: Apache-2.0
// Everything an exit says, read once, and the type it is given. The exit-reason field is read
// here and nowhere else.
#pragma once

#include "arch/vmx/exit_reason.h"
#include "arch/vmx/interruptibility.h"
#include "arch/vmx/interruption_information.h"
#include "hv/port.h"
#include "hv/protections.h"
#include "hv/watch.h"

namespace postern::hv {

struct Capture {
    EntryOutcome outcome = EntryOutcome::exited;
    ExitKind kind = ExitKind::failed;
    ExitReason reason = ExitReason::from_vmcs(no_exit_reason);
    InterruptionInformation interruption;
    InterruptionInformation idt_vectoring;
    u32 interruption_error_code = 0;
    u32 idt_vectoring_error_code = 0;
    u32 instruction_length = 0;
    u32 instruction_information = 0;
    InterruptibilityState interruptibility;
    u32 cpl = 0;
    u64 qualification = 0;
    u64 guest_linear = 0;
    u64 guest_physical = 0;
    u64 rip = 0;
    u64 rflags = 0;

    /// The interrupted thing was the delivery of an event.
    [[nodiscard]] bool delivering() const { return idt_vectoring.valid(); }
};

/// Bit 27 says "incident to enclave mode", which an instruction or a delivery can be. The
/// manual counts neither a triple fault nor a #DF that exits as exits during delivery, so
/// these two have no IDT-vectoring information though an event was being delivered. SDM 3C,
/// "Information for VM Exits That Occur During Event Delivery".
constexpr bool is_enclave_delivery(ExitReason reason, InterruptionInformation interruption,
                                   InterruptionInformation idt_vectoring) {
    if (!reason.from_enclave()) return false;
    if (idt_vectoring.valid() || reason.basic() == BasicReason::triple_fault) return true;
    return reason.basic() == BasicReason::exception_or_nmi &&
           interruption.is_exception(Vector::double_fault);
}

constexpr ExitKind kind_of(ExitReason reason, InterruptionInformation interruption,
                           InterruptionInformation idt_vectoring, Protections protections) {
    if (reason.entry_failed()) return ExitKind::failed;
    if (!reason.from_enclave() || !protections.has(Protection::guard)) return ExitKind::normal;
    if (!protections.has(Protection::delivery)) return ExitKind::enclave;
    return is_enclave_delivery(reason, interruption, idt_vectoring) ? ExitKind::delivery
                                                                    : ExitKind::enclave;
}

/// `outcome` is how the entry ended. If VMLAUNCH or VMRESUME failed, there is no exit reason
/// and the field is not read.
Capture capture(Port& port, EntryOutcome outcome, Protections protections);

/// What the exit says that the manual rules out: bit n is Anomaly n. `injected`: the entry
/// before this exit injected an event.
u32 contradictions(const Capture& capture, const GuestRegisters& registers, bool injected);

}  // namespace postern::hv
