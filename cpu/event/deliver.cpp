// SPDX-License-Identifier: Apache-2.0
// An event from its recognition to its handler or to the VM exit that replaces it.
#include "cpu/event/deliver.h"

#include "arch/msr.h"
#include "arch/regs/dr7.h"
#include "arch/vmx/interruptibility.h"
#include "cpu/event/controls.h"
#include "cpu/mode.h"
#include "cpu/sgx/sgx.h"

namespace postern::cpu {

bool Event::is_exception() const {
    return is(InterruptionType::hardware_exception) || is(InterruptionType::software_exception) ||
           is(InterruptionType::privileged_software_exception);
}

bool is_fault(Vector vector) {
    switch (vector) {
        case Vector::debug:
        case Vector::nmi:
        case Vector::breakpoint:
        case Vector::overflow:
        case Vector::double_fault:
        case Vector::machine_check: return false;
        default: return true;
    }
}

void drop_suppressed_trap(EventState& s) {
    if (!s.blocking.has(Interruptibility::mov_ss)) return;
    s.trap_pending = false;
    s.pending_debug =
        PendingDebugExceptions::from_raw(s.pending_debug).with(PendingDebug::bs, false).to_raw();
}

Event pending_event(const Cpu& c) {
    const Pending& p = c.pending;
    Event e;
    e.information =
        InterruptionInformation::of(p.type, static_cast<u8>(p.vector), p.has_error_code);
    e.error_code = p.error_code;
    e.instruction_length = p.software ? p.instruction_length : 0;
    e.address = p.address;
    e.return_rip = p.software ? c.next_rip : c.rip;
    // General detect is a fault, too; and an enclave's INT3 and INT1 are.
    const bool fault =
        is_fault(p.vector) || p.vector == Vector::debug || p.vector == Vector::breakpoint;
    e.resume_flag = c.flags.has(Rflag::rf) || (fault && !p.software);
    e.nmi_unblocked = p.nmi_unblocked;
    return e;
}

namespace {

constexpr u64 dr6_breakpoints = 0xf;

bool exits_by_bitmap(const Cpu& c, const Event& e) {
    return vmx::in_guest(c) && e.is_exception() &&
           vmx::exits_on_exception(c, e.vector(), e.error_code);
}

sgx::ExitCause cause_of(const Event& e) {
    return {.is_exception = e.is_exception(),
            .vector = e.vector(),
            .error_code = e.error_code,
            .address = e.vector() == Vector::page_fault ? e.address : 0,
            .fault_like = e.resume_flag};
}

/// The exit that takes the place of an exception. SDM 3C, "Information for VM Exits Due to
/// Vectored Events".
vmx::Exit exception_exit(const Event& e, bool from_enclave) {
    vmx::Exit x{.reason = BasicReason::exception_or_nmi};
    const bool linear = e.vector() == Vector::page_fault;
    const bool debug = e.vector() == Vector::debug;
    if (linear) x.qualification = from_enclave ? Gva{e.address}.page().raw() : e.address;
    if (debug) x.qualification = e.address;
    x.interruption_information = e.information.with_nmi_unblocking(e.nmi_unblocked).to_raw();
    x.interruption_error_code = e.error_code;
    x.instruction_length = from_enclave ? 0 : e.instruction_length;
    x.enclave = from_enclave;
    x.sets_rf = e.resume_flag && !from_enclave;
    return x;
}

/// INT1 in the shadow of a MOV SS that met a data breakpoint: one exception tells of both.
void join_pending_breakpoints(Cpu& c) {
    const u64 met = c.event.pending_debug & dr6_breakpoints;
    if (met != 0) c.dr6 = (c.dr6 & ~dr6_breakpoints) | met;
    c.event.pending_debug = 0;
    c.event.trap_pending = false;
}

/// CR2, DR6 and IA32_DEBUGCTL: what the exception changes whether or not its delivery succeeds. One
/// that itself causes a VM exit changes none; an injected one is the hypervisor's business.
void note_exception(Cpu& c, const Event& e) {
    if (!e.is_exception() || e.injected) return;
    if (e.vector() == Vector::page_fault) c.cr2 = e.address;
    if (e.is(InterruptionType::privileged_software_exception)) join_pending_breakpoints(c);
    if (e.vector() == Vector::debug && e.is(InterruptionType::hardware_exception)) {
        // SDM 3B, "Debug Status Register (DR6)": of bits that are set, only B0 to B3 are cleared.
        c.dr6 = (c.dr6 & ~dr6_breakpoints) | e.address;
        c.dr7 &= ~(u64{1} << static_cast<unsigned>(Dr7::gd));
        // SDM 3B, "Single-Stepping on Branches" and "Monitoring Branches, Exceptions, and
        // Interrupts".
        c.msr.debugctl =
            DebugctlWord::from_raw(c.msr.debugctl).without({Debugctl::btf, Debugctl::lbr}).to_raw();
    }
}

/// RIP and RFLAGS are the synthetic ones afterwards.
void interrupt_enclave(Cpu& c, Event& e) {
    sgx::asynchronous_exit(c, cause_of(e));
    e.enclave = true;
    e.return_rip = c.rip;
    e.resume_flag = false;
    e.instruction_length = 0;
    if (e.vector() == Vector::page_fault) e.address = Gva{e.address}.page().raw();
}

void begin(Cpu& c, const Event& e) {
    EventState& s = c.event;
    s.activity = ActivityState::active;
    c.monitor = {};
    if (!e.injected) drop_suppressed_trap(s);
    // SDM 3C, "Architectural State Before a VM Exit": a VM exit met from here on finds no shadow.
    s.blocking = s.blocking.without({Interruptibility::sti, Interruptibility::mov_ss});
    if (e.is(InterruptionType::nmi)) s.blocking.set(Interruptibility::nmi);
    s.delivering = {.valid = true,
                    .enclave = e.enclave,
                    .injected = e.injected,
                    .information = e.information.to_raw(),
                    .error_code = e.error_code,
                    .instruction_length = e.instruction_length,
                    .address = e.address};
}

/// INT n and its like retire when their handler is entered.
bool retires(const Event& e) { return e.instruction_length != 0 && !e.injected; }

Delivery finish(Cpu& c, const Event& e) {
    EventState& s = c.event;
    s.delivering = {};
    s.resume_loaded = false;
    s.trap_inhibited = false;
    s.repeating = false;
    s.watch_hits = 0;
    // SDM 3C, "Monitor Trap Flag": pending at the boundary before the handler.
    if (wants_monitor_trap(c)) s.mtf_pending = true;
    if (retires(e)) c.budget -= 1;
    return Delivery::delivered;
}

/// A VM exit of an access made for the delivery: IDT-vectoring information is valid, addresses
/// are whole, bit 27 is the event's.
Delivery exit_in_delivery(Cpu& c, const Event& e) {
    const Pending& p = c.pending;
    return leave_guest(c,
                       {.reason = p.reason,
                        .qualification = p.qualification,
                        .guest_linear = p.guest_linear,
                        .guest_physical = p.guest_physical,
                        .instruction_length = e.instruction_length,
                        .sets_rf = e.resume_flag},
                       {});
}

/// #DF that exits, and triple faults, do not count as exits during delivery: IDT-vectoring
/// information is not valid, bit 27 is still the event's.
Delivery exit_after_delivery(Cpu& c, vmx::Exit x, const Event& e) {
    c.event.delivering = {};
    x.enclave = e.enclave;
    return leave_guest(c, x, {});
}

Delivery shut_down(Cpu& c, const Event& e) {
    if (vmx::in_guest(c)) return exit_after_delivery(c, {.reason = BasicReason::triple_fault}, e);
    c.event.delivering = {};
    c.event.activity = ActivityState::shutdown;
    return Delivery::shutdown;
}

/// Interrupts of any vector are benign.
ExceptionClass class_of_event(const Event& e) {
    return e.is(InterruptionType::hardware_exception) ? class_of(e.vector())
                                                      : ExceptionClass::benign;
}

Event double_fault(const Cpu& c, const Event& first) {
    Event e;
    e.information =
        InterruptionInformation::hardware_exception(Vector::double_fault, in_protected_mode(c));
    e.return_rip = c.rip;
    e.resume_flag = c.flags.has(Rflag::rf);
    e.enclave = first.enclave;
    return e;
}

/// What a failed delivery comes to; Delivery::nothing: deliver `e` now.
Delivery next_event_after_failure(Cpu& c, Event& e) {
    Event second = pending_event(c);
    second.enclave = e.enclave;
    if (exits_by_bitmap(c, second)) {
        vmx::Exit x = exception_exit(second, false);
        x.instruction_length = e.instruction_length;
        return leave_guest(c, x, {});
    }
    note_exception(c, second);
    switch (combine(class_of_event(e), class_of_event(second))) {
        case Combination::serial: e = second; return Delivery::nothing;
        case Combination::triple_fault: return shut_down(c, e);
        case Combination::double_fault: break;
    }
    e = double_fault(c, e);
    if (!exits_by_bitmap(c, e)) return Delivery::nothing;
    return exit_after_delivery(c, exception_exit(e, false), e);
}

}  // namespace

Delivery leave_guest(Cpu& c, vmx::Exit x, const sgx::ExitCause& cause) {
    if (c.enclave.active) {
        sgx::asynchronous_exit(c, cause);
        x.enclave = true;
        x.sets_rf = false;
        x.instruction_length = 0;
        x.instruction_information = 0;
    }
    // MWAIT's wait is no activity state of a guest.
    if (c.monitor.waiting) c.event.activity = ActivityState::active;
    c.monitor = {};
    vmx::exit(c, x);
    if (c.vmx.abort != 0) return Delivery::shutdown;
    // An MSR of the exit's lists.
    if (c.pending.kind == PendingKind::unimplemented) return Delivery::unimplemented;
    return Delivery::vm_exit;
}

Delivery deliver(Cpu& c, Event e) {
    for (;;) {
        begin(c, e);
        c.pending.kind = PendingKind::none;
        if (through_idt(c, e)) return finish(c, e);
        if (c.pending.kind == PendingKind::unimplemented) {
            c.event.delivering = {};
            return Delivery::unimplemented;
        }
        if (c.pending.kind == PendingKind::vm_exit) return exit_in_delivery(c, e);
        const Delivery outcome = next_event_after_failure(c, e);
        if (outcome != Delivery::nothing) return outcome;
    }
}

Delivery happen(Cpu& c, Event e) {
    if (exits_by_bitmap(c, e))
        return leave_guest(c, exception_exit(e, c.enclave.active), cause_of(e));
    if (c.enclave.active) interrupt_enclave(c, e);
    note_exception(c, e);
    return deliver(c, e);
}

}  // namespace postern::cpu
