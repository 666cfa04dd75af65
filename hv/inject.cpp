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
    if (nested_.takes_exception(event)) return Next::resume;
    const Merged merged = merge(pending_, event);
    if (merged.triple_fault) {
        if (nested_.in_l2()) return nested_.shut_down();
        ++counters_.triple_faults;
        return stop(StopReason::triple_fault, "a third fault while a #DF was delivered");
    }
    if (merged.first_waits) {
        if (!is_injectable(pending_))
            return stop(StopReason::delivery_failed, "the event is none that VM entry takes",
                        pending_.information.to_raw());
        postpone(pending_);
    }
    if (!(merged.event == event) && nested_.takes_exception(merged.event)) return Next::resume;
    pending_ = merged.event;
    return Next::resume;
}

/// An interrupt or an NMI goes back to where it came from: it is delivered later, not lost.
void Vcpu::postpone(const Event& event) {
    if (event.information.type() == InterruptionType::nmi)
        apic_.set_nmi_pending(true);
    else if (!apic_.put_back(event.information.vector()))
        apic_.set_waiting(event.information.vector(), true);
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
    if (apic_.waiting() >= 0) return false;
    apic_.set_waiting(vector, true);
    return true;
}

/// A debug exception that is due goes before interrupts and NMIs; entry with one of those drops it.
/// SDM 3C, "Delivery of Pending Debug Exceptions after VM Entry"; 3A, "Priority Among Simultaneous
/// Exceptions and Interrupts".
bool Vcpu::debug_trap_is_due() {
    const u64 pending = port_.vmread(VmcsField::guest_pending_debug_exceptions);
    return PendingDebugExceptions::from_raw(pending).has_any(
        {PendingDebug::bs, PendingDebug::enabled_breakpoint});
}

/// SDM 3C, "Checks on Guest Non-Register State": an external interrupt enters only where it would
/// be taken, an NMI not behind STI or MOV SS.
bool Vcpu::can_take(const Event& event) {
    if (event.is_exception()) return true;
    const bool blocked =
        interruptibility().has_any({Interruptibility::sti, Interruptibility::mov_ss}) ||
        debug_trap_is_due();
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
Next Vcpu::settle_event(Next next, const Capture& capture) {
    if (next == Next::stop || stop_.reason != StopReason::none) return Next::stop;
    // What L1 injects has passed the checks of its entry; the exit is of no guest that runs on.
    if (nested_.entering() || record_.action == Action::reflected) return next;
    keep_nmis_blocked(capture);
    if (!pending_.valid()) return next;
    // A delivery of what L1 injected may begin again, with the length that L1 gave.
    const bool zero = nested_.in_l2() && nested_.capabilities().misc().zero_length_injection();
    if (!is_injectable(pending_, protected_mode(), zero))
        return stop(StopReason::delivery_failed, "the event is none that VM entry takes",
                    pending_.information.to_raw());
    if (can_take(pending_)) return next;
    postpone(pending_);
    pending_ = {};
    return next;
}

/// An IRET that exits has ended the blocking of NMIs already. If it is to run again, the blocking
/// is as before it; if a fault of its own is delivered, it is ended, as without an exit. SDM 3C,
/// "Resuming Guest Software After Handling an Exception".
void Vcpu::keep_nmis_blocked(const Capture& capture) {
    if (capture.delivering() || pending_.is_exception()) return;
    const BasicReason reason = capture.reason.basic();
    const bool unblocked =
        reason == BasicReason::ept_violation
            ? EptViolation::from_raw(capture.qualification).nmi_unblocking_due_to_iret()
            : reason == BasicReason::exception_or_nmi && capture.interruption.valid() &&
                  capture.interruption.nmi_unblocking_due_to_iret();
    if (unblocked)
        port_.vmwrite(VmcsField::guest_interruptibility_state,
                      interruptibility().with(Interruptibility::nmi).to_raw());
}

/// What waits and can be taken now: an NMI before interrupts, those that are acknowledged before
/// those that are not.
Event Vcpu::next_event() {
    const VirtualApic::State& apic = apic_.state();
    const Event nmi{InterruptionInformation::nmi()};
    if (apic.nmi_pending != 0 && !nested_.exits_for_nmis() && can_take(nmi) &&
        !interruptibility().has(Interruptibility::nmi)) {
        apic_.set_nmi_pending(false);
        return nmi;
    }
    if (!asks_for_entry() || nested_.exits_for_window()) return {};
    if (!can_take({InterruptionInformation::external(0)})) return {};
    return {InterruptionInformation::external(take_interrupt())};
}

/// Of those that wait the one in front, acknowledged.
u8 Vcpu::take_interrupt() {
    int vector = apic_.waiting();
    if (vector >= 0) {
        apic_.set_waiting(static_cast<u8>(vector), false);
    } else if (apic_.external_asks()) {
        vector = apic_.acknowledge_external();
    } else {
        vector = apic_.deliverable();
        apic_.take(static_cast<u8>(vector));
    }
    return static_cast<u8>(vector);
}

/// An interrupt waits that the processor does not deliver by itself.
bool Vcpu::asks_for_entry() const {
    if (nested_.exits_for_interrupts()) return false;
    if (apicv_.whole == 0 || nested_.in_l2()) return interrupt_waits();
    return apic_.waiting() >= 0 || apic_.external_asks();
}

/// The guest is left when it can take what still waits.
void Vcpu::ask_for_windows() {
    PrimaryControls wanted;
    wanted.set(PrimaryControl::nmi_window_exiting,
               apic_.state().nmi_pending != 0 && !nested_.exits_for_nmis());
    wanted.set(PrimaryControl::interrupt_window_exiting, asks_for_entry());
    if (wanted.to_raw() == 0 && windows_.to_raw() == 0) return;
    const auto old = PrimaryControls::from_raw(read32(VmcsField::primary_processor_based_controls));
    const PrimaryControls others = nested_.in_l2() ? nested_.primary02() : old.without(windows_);
    const PrimaryControls controls = others | wanted;
    if (controls != old)
        port_.vmwrite(VmcsField::primary_processor_based_controls, controls.to_raw());
    windows_ = wanted;
}

void Vcpu::before_entry() {
    if (sgx_.generation != vm_.sgx().generation()) write_encls_bitmap();
    apic_.catch_up();
    if (!pending_.valid()) pending_ = next_event();
    ask_for_windows();
    if (!nested_.in_l2()) hand_over_apic();
    arm_timer();
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
    if (!nested_.entering()) agree_about_single_step();
    const InterruptionInformation information =
        nested_.entering() ? event.information : entry_word(event);
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
