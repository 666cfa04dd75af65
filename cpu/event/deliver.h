// SPDX-License-Identifier: Apache-2.0
// One event on its way to a handler: VM exit instead of it, AEX before it, the IDT, and what is
// met on the way. The rest of the processor uses cpu/event/event.h.
#pragma once

#include "arch/vmx/interruption_information.h"
#include "cpu/event/event.h"
#include "cpu/sgx/sgx.h"
#include "cpu/vmx/vmx.h"

namespace postern::cpu {

/// An event with everything its delivery needs.
struct Event {
    InterruptionInformation information;
    u32 error_code = 0;
    u32 instruction_length = 0;  // of INT n, INT3, INTO, INT1
    u64 address = 0;             // #PF: linear address; #DB: DR6 bits
    u64 return_rip = 0;
    bool resume_flag = false;  // RF of the RFLAGS image
    bool enclave = false;      // EventInProgress::enclave
    bool injected = false;
    bool nmi_unblocked = false;

    [[nodiscard]] Vector vector() const { return static_cast<Vector>(information.vector()); }
    [[nodiscard]] bool is(InterruptionType type) const { return information.type() == type; }
    [[nodiscard]] bool is_exception() const;
};

/// What Cpu::pending says, if it is an exception.
Event pending_event(const Cpu& c);

/// The event happens at Cpu::rip: an exit by the exception bitmap, or AEX if an enclave is
/// interrupted and delivery. For interrupts the caller has asked the pin-based controls.
Delivery happen(Cpu& c, Event event);

/// Delivery through the IDT, with what it leads to: nested exceptions, #DF, shutdown, VM exits.
/// SDM 3A, "Exception and Interrupt Handling in 64-bit Mode".
Delivery deliver(Cpu& c, Event event);

/// AEX if an enclave is interrupted, then the VM exit, which drops all of EventState but NMIs.
Delivery leave_guest(Cpu& c, vmx::Exit exit, const sgx::ExitCause& cause);

/// One attempt at the IDT: gate, stack, frame. On failure Cpu::pending says why.
Result<> through_idt(Cpu& c, const Event& event);

/// The same in protected mode outside IA-32e mode, and in real mode.
Result<> through_legacy_idt(Cpu& c, const Event& event);

/// INT n, INT3, INTO: subject to the gate's DPL, and faults met do not set EXT. INT1 is neither.
inline bool is_software(const Event& e) {
    return e.is(InterruptionType::software_interrupt) || e.is(InterruptionType::software_exception);
}

/// SDM 3A, "Error Code": EXT.
inline u32 external_bit(const Event& e) { return is_software(e) ? 0 : 1; }

/// MOV SS drops its own single-step trap, but not data breakpoints. Until the next instruction is
/// done a VM exit still finds it pending. SDM 3A, "Masking Exceptions and Interrupts When
/// Switching Stacks".
void drop_suppressed_trap(EventState& s);

/// A fault-class exception pushes RF = 1. SDM 3B, "Instruction-Breakpoint Exception Condition".
bool is_fault(Vector vector);

}  // namespace postern::cpu
