// SPDX-License-Identifier: Apache-2.0
// From "this event is for the guest" to the VM-entry fields.
#include "hv/inject.h"

#include "arch/regs/cr0.h"
#include "arch/regs/dr6.h"
#include "arch/regs/rflags.h"
#include "arch/vmx/exit_qualification.h"
#include "hv/vcpu.h"

namespace postern::hv {

Next Vcpu::inject(const Event& event) {
    const Merged merged = merge(pending_, event);
    if (merged.triple_fault) {
        ++counters_.triple_faults;
        return stop(StopReason::triple_fault, "a third fault while a #DF was delivered");
    }
    if (merged.first_waits) {
        if (waiting_interrupt_.valid())
            return stop(StopReason::not_implemented, "two interrupts that wait at once");
        waiting_interrupt_ = pending_;
    }
    pending_ = merged.event;
    return Next::resume;
}

/// What delivery of the #DB would have done to DR6 and DR7. SDM 3B, "Debug Status Register (DR6)".
void Vcpu::take_debug_status(u64 qualification) {
    const auto debug = DebugQualification::from_raw(qualification);
    auto dr6 = Dr6Word::from_raw(port_.read_dr(6));
    dr6 = Dr6Word::from_raw((dr6.to_raw() & ~u64{0xf}) | debug.breakpoints());
    if (debug.register_access()) dr6.set(Dr6::bd);
    if (debug.single_step()) dr6.set(Dr6::bs);
    port_.write_dr(6, dr6.to_raw());
    constexpr u64 general_detect = u64{1} << 13;
    const u64 dr7 = port_.vmread(VmcsField::guest_dr7);
    if (debug.register_access() && (dr7 & general_detect) != 0)
        port_.vmwrite(VmcsField::guest_dr7, dr7 & ~general_detect);
}

/// The event that was being delivered is injected again, with its type; an NMI's delivery has
/// blocked NMIs already. SDM 3C, "Event Injection" of "VM-Exit Information for Event Delivery".
void Vcpu::requeue(const Capture& capture) {
    pending_ = event_from_exit(capture.idt_vectoring, capture.idt_vectoring_error_code,
                               capture.instruction_length);
    if (pending_.information.type() != InterruptionType::nmi) return;
    const InterruptibilityState state = interruptibility();
    if (state.has(Interruptibility::nmi))
        port_.vmwrite(VmcsField::guest_interruptibility_state,
                      state.with(Interruptibility::nmi, false).to_raw());
}

bool Vcpu::queue_interrupt(u8 vector) {
    if (waiting_interrupt_.valid()) return false;
    waiting_interrupt_ = {InterruptionInformation::external(vector)};
    return true;
}

/// SDM 3C, "Checks on Guest Non-Register State": an external interrupt enters only where it would
/// be taken, an NMI not behind STI or MOV SS.
bool Vcpu::can_take(const Event& event) {
    const bool blocked =
        interruptibility().has_any({Interruptibility::sti, Interruptibility::mov_ss});
    switch (event.information.type()) {
        case InterruptionType::external:
            return !blocked &&
                   Rflags::from_raw(port_.vmread(VmcsField::guest_rflags)).has(Rflag::if_);
        case InterruptionType::nmi: return !blocked;
        default: return true;
    }
}

bool Vcpu::protected_mode() {
    return Cr0Word::from_raw(port_.vmread(VmcsField::guest_cr0)).has(Cr0::pe);
}

InterruptionInformation Vcpu::entry_word(const Event& event) {
    const InterruptionInformation word = entry_information(event, vm_.config().protections);
    if (!word.error_code_valid() || protected_mode()) return word;
    return InterruptionInformation::of(word.type(), word.vector());
}

/// What the handler left to be injected is one that VM entry takes, or waits, or ends the guest:
/// a processor that reports anything else lies, and the entry would only fail.
Next Vcpu::settle_event(Next next) {
    if (next == Next::stop) return next;
    for (const Event& event : {pending_, waiting_interrupt_})
        if (event.valid() && !is_injectable(event, protected_mode()))
            return stop(StopReason::delivery_failed, "the event is none that VM entry takes",
                        event.information.to_raw());
    if (!pending_.valid() || can_take(pending_)) return next;
    if (waiting_interrupt_.valid())
        return stop(StopReason::not_implemented, "two interrupts that wait at once");
    waiting_interrupt_ = pending_;
    pending_ = {};
    return next;
}

/// A waiting interrupt takes the entry if the guest can take it, else asks for a window.
void Vcpu::before_entry() {
    if (!waiting_interrupt_.valid()) return write_entry_event(pending_);
    if (!pending_.valid() && can_take(waiting_interrupt_)) {
        pending_ = waiting_interrupt_;
        waiting_interrupt_ = {};
        return write_entry_event(pending_);
    }
    const auto primary =
        PrimaryControls::from_raw(read32(VmcsField::primary_processor_based_controls));
    if (!primary.has(PrimaryControl::interrupt_window_exiting))
        port_.vmwrite(VmcsField::primary_processor_based_controls,
                      primary.with(PrimaryControl::interrupt_window_exiting).to_raw());
    write_entry_event(pending_);
}

/// A single-step trap behind STI exits, or its delivery does, with the blocking saved and BS not:
/// the trap is the event. VM entry insists on BS all the same, and drops it for the injected
/// event. SDM 3C, "Checks on Guest Non-Register State" and "Delivery of Pending Debug Exceptions
/// after VM Entry".
void Vcpu::agree_about_single_step() {
    if (!interruptibility().has_any({Interruptibility::sti, Interruptibility::mov_ss})) return;
    const auto flags = Rflags::from_raw(port_.vmread(VmcsField::guest_rflags));
    const auto debugctl = DebugctlWord::from_raw(port_.vmread(VmcsField::guest_ia32_debugctl));
    const bool steps = flags.has(Rflag::tf) && !debugctl.has(Debugctl::btf);
    const auto pending =
        PendingDebugExceptions::from_raw(port_.vmread(VmcsField::guest_pending_debug_exceptions));
    if (pending.has(PendingDebug::bs) != steps)
        port_.vmwrite(VmcsField::guest_pending_debug_exceptions,
                      pending.with(PendingDebug::bs, steps).to_raw());
}

/// SDM 3C, "VM-Entry Controls for Event Injection".
void Vcpu::write_entry_event(const Event& event) {
    injected_on_entry_ = event.valid();
    if (!event.valid()) {
        // An exit clears the valid bit; an entry that failed does not.
        if (entry_field_set_) port_.vmwrite(VmcsField::vm_entry_interruption_information, 0);
        entry_field_set_ = false;
        return;
    }
    agree_about_single_step();
    const InterruptionInformation information = entry_word(event);
    port_.vmwrite(VmcsField::vm_entry_interruption_information, information.to_raw());
    if (information.error_code_valid())
        port_.vmwrite(VmcsField::vm_entry_exception_error_code, event.error_code);
    if (information.uses_instruction_length())
        port_.vmwrite(VmcsField::vm_entry_instruction_length, event.instruction_length);
    entry_field_set_ = true;
}

bool Vcpu::set_interruptibility(InterruptibilityState state) {
    const bool together = state.has_all({Interruptibility::mov_ss, Interruptibility::enclave});
    if (together && vm_.config().protections.has(Protection::mov_ss_shadow)) {
        report(Anomaly::mov_ss_shadow_refused);
        return false;
    }
    port_.vmwrite(VmcsField::guest_interruptibility_state, state.to_raw());
    return true;
}

}  // namespace postern::hv
