// SPDX-License-Identifier: Apache-2.0
// Events: raising them from an instruction, taking them at a boundary, delivering them.
#pragma once

#include "base/result.h"
#include "cpu/cpu.h"

namespace postern::cpu {

// Raising. Each leaves its reason in Cpu::pending and returns Failed, so that a semantic says
// `return general_protection(c);`. The innermost reason wins; nothing is delivered yet.
Failed raise(Cpu& c, Vector vector);  // no error code
Failed raise(Cpu& c, Vector vector, u32 error_code);
Failed raise_page_fault(Cpu& c, u64 linear, u32 error_code);
Failed raise_debug(Cpu& c, u64 dr6_bits);
/// INT n, INT3, INTO, INT1: `length` is the instruction's; RIP pushed is after it.
Failed raise_software(Cpu& c, Vector vector, u32 interruption_type, u32 length);
Failed raise_unimplemented(Cpu& c, const char* what);

inline Failed invalid_opcode(Cpu& c) { return raise(c, Vector::invalid_opcode); }
inline Failed general_protection(Cpu& c, u32 error_code = 0) {
    return raise(c, Vector::general_protection, error_code);
}

/// What became of an event.
enum class Delivery : u8 {
    nothing,        // there was none
    delivered,      // the handler's first instruction is next
    vm_exit,        // the VM exit is complete; host state is loaded
    shutdown,       // triple fault outside VMX non-root operation; or a VMX abort
    unimplemented,  // Cpu::pending.what
    breakpoint,     // the debugger's
};

/// Acts on Cpu::pending after an instruction failed: VM exit, or exception through the IDT
/// (AEX first when an enclave is interrupted, double and triple faults included).
Delivery take_pending(Cpu& c);

/// At an instruction boundary: injection by VM entry, traps, MTF, NMI, preemption timer, windows,
/// external interrupts, in the order of SDM 3A, "Priority Among Concurrent Events".
Delivery poll(Cpu& c);

/// A preemption timer, NMI or interrupt that poll() would act on now. What an interrupt shadow or
/// a mask holds back is not due.
bool is_event_due(const Cpu& c);

/// An idle processor has something to do now.
bool wakes(const Cpu& c);

/// Absolute time at which poll() may have something that it does not have now; ~0: never.
u64 next_event(const Cpu& c);

/// True if the next instruction must run alone: an interrupt shadow, TF, RF, MTF or a breakpoint is
/// in force, or the debugger watches data.
bool must_step(const Cpu& c);

/// After the single instruction of must_step(): ends the shadow, makes traps pending.
/// `before`: RFLAGS.TF and the shadow as they were when it began.
void after_step(Cpu& c, bool trap_flag_before, InterruptibilityState blocking_before);

}  // namespace postern::cpu
