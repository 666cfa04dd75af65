// SPDX-License-Identifier: Apache-2.0
// Leaving a reason in Cpu::pending. Nothing is delivered here.
#include "cpu/event/event.h"
#include "cpu/mode.h"

namespace postern::cpu {

namespace {

Failed fill(Cpu& c, Vector vector, InterruptionType type) {
    c.pending = {};
    c.pending.kind = PendingKind::exception;
    c.pending.vector = vector;
    c.pending.type = type;
    return {};
}

}  // namespace

Failed raise(Cpu& c, Vector vector) {
    return fill(c, vector, InterruptionType::hardware_exception);
}

Failed raise(Cpu& c, Vector vector, u32 error_code) {
    fill(c, vector, InterruptionType::hardware_exception);
    // Real mode has none. SDM 3A, "Exception and Interrupt Reference".
    c.pending.has_error_code = in_protected_mode(c);
    if (c.pending.has_error_code) c.pending.error_code = error_code;
    return {};
}

Failed raise_page_fault(Cpu& c, u64 linear, u32 error_code) {
    forget_faulting_page(c, Gva{linear});
    raise(c, Vector::page_fault, error_code);
    c.pending.address = linear;
    return {};
}

Failed raise_debug(Cpu& c, u64 dr6_bits) {
    raise(c, Vector::debug);
    c.pending.address = dr6_bits;
    return {};
}

/// RF is cleared at its start. SDM 3B, "Instruction-Breakpoint Exception Condition".
Failed raise_software(Cpu& c, Vector vector, u32 interruption_type, u32 length) {
    fill(c, vector, static_cast<InterruptionType>(interruption_type));
    c.pending.software = true;
    c.flags.set(Rflag::rf, false);
    c.pending.instruction_length = length;
    return {};
}

Failed raise_unimplemented(Cpu& c, const char* what) {
    c.pending = {};
    c.pending.kind = PendingKind::unimplemented;
    c.pending.what = what;
    return {};
}

}  // namespace postern::cpu
