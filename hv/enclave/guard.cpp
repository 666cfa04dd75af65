// SPDX-License-Identifier: Apache-2.0
// What may be done after an exit from an enclave, and the guard at the end of every other path.
#include "hv/exit/exit.h"
#include "hv/vcpu.h"

namespace postern::hv {

Gva EnclaveExit::aep() const { return Gva{capture_->rip}; }
Gva EnclaveExit::tcs() const { return Gva{vcpu_->registers_.gpr[rbx]}; }
PageGpa EnclaveExit::guest_physical() const { return PageGpa{Gpa{capture_->guest_physical}}; }
PageGva EnclaveExit::guest_linear() const { return PageGva{Gva{capture_->guest_linear}}; }
EptViolation EnclaveExit::ept_violation() const {
    return EptViolation::from_raw(capture_->qualification);
}

Next EnclaveExit::retry() {
    ++counters().retries;
    vcpu_->act(Action::retried);
    return Next::resume;
}

/// A #BP stays of type 3, without an instruction length. SDM 3D, "Asynchronous Enclave Exits"
/// and "INT3 Handling".
Next EnclaveExit::deliver() { return inject_exception(); }

Next EnclaveExit::fault(Vector vector) {
    if (vector == Vector::invalid_opcode) ++counters().injected_ud;
    if (vector == Vector::general_protection) ++counters().injected_gp;
    return inject(Event::exception(vector), Action::faulted);
}

Next EnclaveExit::guard() {
    if (config().enclave_fault == EnclaveFault::ud) return undefined();
    ++counters().guard_hits;
    if (config().enclave_fault == EnclaveFault::stop) return stop(StopReason::enclave_fault);
    const Next next = fault(Vector::general_protection);
    vcpu_->act(Action::guarded);
    vcpu_->skip(capture_->instruction_length, RipCause::skip);
    return next;
}

/// After an enclave's exit the length is 0, so the skip at the end leaves RIP alone and only
/// ends blocking by STI and MOV SS. It is asked for so that one place decides about lengths.
Next EnclaveExit::undefined() {
    ++counters().guard_hits;
    const Next next = fault(Vector::invalid_opcode);
    vcpu_->act(Action::guarded);
    vcpu_->skip(capture_->instruction_length, RipCause::skip);
    return next;
}

Gpa EnclaveDelivery::guest_physical() const { return Gpa{capture_->guest_physical}; }
Gva EnclaveDelivery::guest_linear() const { return Gva{capture_->guest_linear}; }
EptViolation EnclaveDelivery::ept_violation() const {
    return EptViolation::from_raw(capture_->qualification);
}

Event EnclaveDelivery::original() const {
    return event_from_exit(capture_->idt_vectoring, capture_->idt_vectoring_error_code,
                           capture_->instruction_length);
}

Next EnclaveDelivery::map(const MemorySlot& slot) {
    const Next next = map_page(slot, guest_physical());
    return next == Next::stop ? next : redeliver();
}

Next EnclaveDelivery::redeliver() {
    vcpu_->requeue(*capture_);
    ++counters().redelivered;
    vcpu_->act(Action::redelivered);
    return Next::resume;
}

Next EnclaveDelivery::deliver() {
    if (capture_->delivering()) vcpu_->requeue(*capture_);
    return inject_exception();
}

}  // namespace postern::hv
