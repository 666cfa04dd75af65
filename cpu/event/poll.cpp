// SPDX-License-Identifier: Apache-2.0
// Instruction boundaries: what happens there, in which order, and when to look again.
#include <algorithm>
#include <optional>

#include "cpu/debugger.h"
#include "cpu/event/breakpoint.h"
#include "cpu/event/controls.h"
#include "cpu/event/deliver.h"
#include "cpu/flags.h"
#include "cpu/reset.h"
#include "cpu/sgx/interruption.h"
#include "cpu/vmx/virtual_apic.h"

namespace postern::cpu {

namespace {

constexpr u64 pending_bs = u64{1} << static_cast<unsigned>(PendingDebug::bs);
constexpr u64 pending_enabled_breakpoint =
    u64{1} << static_cast<unsigned>(PendingDebug::enabled_breakpoint);
constexpr u64 dr6_bits = 0x400f;  // BS, B3 to B0

bool shadowed(const Cpu& c) {
    return c.event.blocking.has_any({Interruptibility::sti, Interruptibility::mov_ss});
}

/// RF of the image that an event at this boundary pushes. SDM 3B, "Instruction-Breakpoint
/// Exception Condition".
bool image_resume_flag(const Cpu& c) { return c.flags.has(Rflag::rf) || c.event.repeating; }

/// An exit at a boundary that no exception causes.
Delivery exit_here(Cpu& c, const vmx::Exit& x) {
    return leave_guest(c, x, {.fault_like = image_resume_flag(c)});
}

Event event_here(const Cpu& c, InterruptionInformation information) {
    Event e;
    e.information = information;
    e.return_rip = c.rip;
    e.resume_flag = image_resume_flag(c);
    return e;
}

// Each of the following answers Delivery::nothing if it is not its turn.

/// SDM 3C, "Event Injection". RIP of an injected INT n, INT3 or INT1 is the instruction's.
Delivery inject(Cpu& c) {
    const EventInProgress injection = c.event.injection;
    if (!injection.valid) return Delivery::nothing;
    c.event.injection = {};
    const auto information = InterruptionInformation::from_raw(injection.information);
    if (information.type() == InterruptionType::other_event) {
        c.event.mtf_pending = true;
        return Delivery::nothing;
    }
    Event e = event_here(c, information);
    e.injected = true;
    e.enclave = injection.enclave;
    e.error_code = injection.error_code;
    e.address = injection.address;
    if (information.uses_instruction_length()) {
        e.instruction_length = injection.instruction_length;
        e.return_rip += injection.instruction_length;
    }
    return deliver(c, e);
}

/// SDM 3C, "APIC-Write Emulation": before all that waits at this boundary.
Delivery apic_write(Cpu& c) {
    if (!c.vmx.virtual_apic.write_pending) return Delivery::nothing;
    const std::optional<vmx::Exit> x = vmx::emulate_apic_write(c);
    return x ? exit_here(c, *x) : Delivery::nothing;
}

/// SDM 3C, "VM Exits Induced by the TPR Threshold": after injection, before all else.
Delivery tpr_threshold(Cpu& c) {
    if (!c.vmx.virtual_apic.threshold_exit) return Delivery::nothing;
    return exit_here(c, {.reason = BasicReason::tpr_below_threshold});
}

Delivery monitor_trap(Cpu& c) {
    if (!c.event.mtf_pending) return Delivery::nothing;
    c.event.mtf_pending = false;
    if (!vmx::in_guest(c)) return Delivery::nothing;
    return exit_here(c, {.reason = BasicReason::monitor_trap_flag});
}

/// Single-step traps, data breakpoints, and what VM entry loaded as pending. MOV SS delays them by
/// an instruction.
Delivery debug_trap(Cpu& c) {
    EventState& s = c.event;
    if (s.trap_pending) s.pending_debug |= pending_bs;
    if ((s.pending_debug & (pending_bs | pending_enabled_breakpoint)) == 0)
        return Delivery::nothing;
    if (s.blocking.has(Interruptibility::mov_ss)) return Delivery::nothing;
    Event e = event_here(c, InterruptionInformation::hardware_exception(Vector::debug));
    e.address = s.pending_debug & dr6_bits;
    s.pending_debug = 0;
    s.trap_pending = false;
    return happen(c, e);
}

bool is_timer_due(const Cpu& c) { return vmx::in_guest(c) && now(c) >= c.vmx.preemption_deadline; }

/// SDM 3C, "VMX-Preemption Timer".
Delivery preemption_timer(Cpu& c) {
    if (!is_timer_due(c)) return Delivery::nothing;
    if (c.event.activity == ActivityState::wait_for_sipi) return Delivery::nothing;
    return exit_here(c, {.reason = BasicReason::vmx_preemption_timer_expired});
}

/// SDM 3C, "NMI-Window Exiting". Blocking by NMI is virtual-NMI blocking here.
Delivery nmi_window(Cpu& c) {
    if (!wants(c, PrimaryControl::nmi_window_exiting) || shadowed(c)) return Delivery::nothing;
    if (c.event.blocking.has(Interruptibility::nmi)) return Delivery::nothing;
    return exit_here(c, {.reason = BasicReason::nmi_window});
}

/// With virtual NMIs, blocking by NMI says nothing about physical ones: those always exit.
bool is_nmi_due(const Cpu& c) {
    if (!c.event.nmi_pending || shadowed(c)) return false;
    return !c.event.blocking.has(Interruptibility::nmi) || wants(c, PinControl::virtual_nmis);
}

Delivery nmi(Cpu& c) {
    if (!is_nmi_due(c)) return Delivery::nothing;
    c.event.nmi_pending = false;
    const auto information = InterruptionInformation::nmi();
    if (!wants(c, PinControl::nmi_exiting)) return happen(c, event_here(c, information));
    return exit_here(c, {.reason = BasicReason::exception_or_nmi,
                         .interruption_information = information.to_raw(),
                         .sets_rf = image_resume_flag(c)});
}

/// SDM 3C, "Interrupt-Window Exiting and Virtual-Interrupt Delivery".
Delivery interrupt_window(Cpu& c) {
    if (!wants(c, PrimaryControl::interrupt_window_exiting)) return Delivery::nothing;
    if (!c.flags.has(Rflag::if_) || shadowed(c)) return Delivery::nothing;
    return exit_here(c, {.reason = BasicReason::interrupt_window});
}

bool is_virtual_interrupt_due(const Cpu& c) {
    return c.vmx.virtual_apic.recognized && c.flags.has(Rflag::if_) && !shadowed(c);
}

/// SDM 3C, "Virtual-Interrupt Delivery".
Delivery virtual_interrupt(Cpu& c) {
    if (!is_virtual_interrupt_due(c)) return Delivery::nothing;
    const u8 vector = vmx::take_virtual_interrupt(c);
    return happen(c, event_here(c, InterruptionInformation::external(vector)));
}

/// The vector of the interrupt that is due, or -1. One that exits does so whatever IF says.
int due_interrupt(const Cpu& c) {
    const bool exits = wants(c, PinControl::external_interrupt_exiting);
    if (c.interrupts == nullptr || shadowed(c)) return -1;
    if (!exits && !c.flags.has(Rflag::if_)) return -1;
    return c.interrupts->pending_vector(now(c));
}

/// The processor stays in HLT, but not in MWAIT. SDM 3C, "Posted-Interrupt Processing".
Delivery posted_interrupts(Cpu& c) {
    vmx::process_posted_interrupts(c);
    if (c.event.repeating) c.flags.set(Rflag::rf);
    if (c.monitor.waiting) {
        c.event.activity = ActivityState::active;
        c.monitor = {};
    }
    return virtual_interrupt(c);
}

/// After the notification of posted interrupts there may be another one.
Delivery external_interrupt(Cpu& c) {
    const int vector = due_interrupt(c);
    if (vector < 0) return Delivery::nothing;
    if (vmx::is_posted_notification(c, static_cast<u8>(vector))) {
        c.interrupts->acknowledge(static_cast<u8>(vector));
        const Delivery done = posted_interrupts(c);
        return done != Delivery::nothing ? done : external_interrupt(c);
    }
    const bool exits = wants(c, PinControl::external_interrupt_exiting);
    const auto information = InterruptionInformation::external(static_cast<u8>(vector));
    const bool acknowledges = !exits || wants(c, ExitControl::acknowledge_interrupt_on_exit);
    if (acknowledges) c.interrupts->acknowledge(static_cast<u8>(vector));
    if (!exits) return happen(c, event_here(c, information));
    return exit_here(c, {.reason = BasicReason::external_interrupt,
                         .interruption_information = acknowledges ? information.to_raw() : 0,
                         .sets_rf = image_resume_flag(c)});
}

/// A fault, but not one that pushes RF = 1: its handler is to set RF. SDM 3B,
/// "Instruction-Breakpoint Exception Condition". MOV SS suppresses it as RF does.
Delivery instruction_breakpoint(Cpu& c) {
    if (!has_breakpoints(c) || image_resume_flag(c)) return Delivery::nothing;
    const EventState& s = c.event;
    if (s.activity != ActivityState::active || s.blocking.has(Interruptibility::mov_ss))
        return Delivery::nothing;
    const u64 hits = instruction_breakpoints(c);
    if (hits == 0) return Delivery::nothing;
    Event e = event_here(c, InterruptionInformation::hardware_exception(Vector::debug));
    e.address = hits;
    return happen(c, e);
}

/// Held back in VMX root operation, and by a guest that waits for a SIPI.
bool is_init_due(const Cpu& c) {
    if (!c.event.init_pending) return false;
    return vmx::in_guest(c) ? c.event.activity != ActivityState::wait_for_sipi : !c.vmx.on;
}

/// SDM 3A, "INIT"; in a guest it is a VM exit.
Delivery init_signal(Cpu& c) {
    if (!is_init_due(c)) return Delivery::nothing;
    if (vmx::in_guest(c)) {
        c.event.init_pending = false;
        return exit_here(c, {.reason = BasicReason::init_signal});
    }
    init_registers(c);
    return Delivery::delivered;
}

/// SDM 3A, "MP Initialization". What is not waiting for it loses it.
Delivery startup(Cpu& c) {
    if (!c.event.sipi_pending) return Delivery::nothing;
    c.event.sipi_pending = false;
    if (c.event.activity != ActivityState::wait_for_sipi) return Delivery::nothing;
    if (vmx::in_guest(c))
        return exit_here(
            c, {.reason = BasicReason::startup_ipi, .qualification = c.event.sipi_vector});
    c.event.activity = ActivityState::active;
    c.segment[cs].selector = static_cast<u16>(c.event.sipi_vector << 8);
    c.segment[cs].base = u64{c.event.sipi_vector} << 12;
    c.rip = 0;
    return Delivery::delivered;
}

/// An interruption that --interrupt-enclave asked for, as an SMI makes it: no event is recorded in
/// the SSA, the operating system sees nothing, and after RSM execution goes on at the AEP. An SMI
/// comes before the traps, INIT and interrupts of the same boundary, which then find the enclave
/// left; the shadow of STI holds it back. It ends UMWAIT and TPAUSE. SDM 3D, "Asynchronous Enclave
/// Exits (AEX)"; SDM 3C, "System Management Interrupt (SMI)". Hosted, the host's interrupt
/// controller makes it a VM exit.
void interrupt_enclave(Cpu& c) {
    if (shadowed(c) || !sgx::take_interruption(c) || c.vmx.hosted) return;
    sgx::asynchronous_exit(c, {.fault_like = image_resume_flag(c)});
    c.event.repeating = false;
}

/// The deadline of UMWAIT or TPAUSE.
bool is_wait_over(const Cpu& c) {
    return c.monitor.waiting && c.monitor.deadline != 0 && now(c) >= c.monitor.deadline;
}

/// MWAIT with ECX[0], UMWAIT, TPAUSE: an interrupt that is masked ends the wait, and goes on
/// waiting itself.
bool masked_interrupt_ends_wait(const Cpu& c) {
    return c.monitor.waiting && c.monitor.masked_interrupts_wake && c.interrupts != nullptr &&
           c.interrupts->pending_vector(now(c)) >= 0;
}

/// SDM 2D, "UMWAIT", "TPAUSE": CF says that the operating system's limit ended it.
void end_wait(Cpu& c) {
    const bool over = is_wait_over(c);
    if (!over && !masked_interrupt_ends_wait(c)) return;
    if (over && c.monitor.limited) set_cf(c, true);
    c.event.activity = ActivityState::active;
    c.monitor = {};
}

using Source = Delivery (*)(Cpu&);

/// SDM 3A, "Priority Among Concurrent Events", with SDM 3C, "Other Causes of VM Exits": what VM
/// entry injects is the entry's last step, an expired preemption timer goes before the NMI window,
/// each window before what it waits for.
constexpr Source sources[] = {apic_write,
                              inject,
                              tpr_threshold,
                              init_signal,
                              startup,
                              monitor_trap,
                              debug_trap,
                              preemption_timer,
                              nmi_window,
                              nmi,
                              interrupt_window,
                              virtual_interrupt,
                              external_interrupt,
                              instruction_breakpoint};

/// SDM 3C, "Guest Non-Register State": what an inactive processor still notices.
bool noticed(const Cpu& c, Source source) {
    switch (c.event.activity) {
        case ActivityState::active:
        case ActivityState::hlt: return true;
        case ActivityState::shutdown:
            return source != interrupt_window && source != virtual_interrupt &&
                   source != external_interrupt && source != debug_trap && source != tpr_threshold;
        case ActivityState::wait_for_sipi:
            return source == inject || source == monitor_trap || source == init_signal ||
                   source == startup;
    }
    return true;
}

}  // namespace

Delivery poll(Cpu& c) {
    // SDM 3C, "VMX Aborts": only a reset ends this shutdown.
    if (c.vmx.abort != 0) return Delivery::shutdown;
    c.event.resume_loaded = false;
    c.event.trap_inhibited = false;
    if (c.monitor.waiting) [[unlikely]]
        end_wait(c);
    if (c.enclave.active) [[unlikely]]
        interrupt_enclave(c);
    for (const Source source : sources) {
        if (!noticed(c, source)) continue;
        const Delivery done = source(c);
        if (done != Delivery::nothing) return done;
    }
    return Delivery::nothing;
}

bool is_event_due(const Cpu& c) {
    return (is_timer_due(c) && noticed(c, preemption_timer)) ||
           (is_nmi_due(c) && noticed(c, nmi)) ||
           (due_interrupt(c) >= 0 && noticed(c, external_interrupt));
}

bool wakes(const Cpu& c) {
    const EventState& s = c.event;
    if (c.vmx.abort != 0) return false;
    if (s.activity == ActivityState::active || is_init_due(c) || s.sipi_pending) return true;
    if (s.injection.valid || s.mtf_pending || is_event_due(c)) return true;
    if (c.vmx.virtual_apic.threshold_exit || is_virtual_interrupt_due(c)) return true;
    return is_wait_over(c) || masked_interrupt_ends_wait(c);
}

u64 next_event(const Cpu& c) {
    const bool timed = vmx::in_guest(c) && noticed(c, preemption_timer);
    const u64 timer = timed ? c.vmx.preemption_deadline : ~u64{0};
    const u64 interrupt = c.interrupts != nullptr ? c.interrupts->next_event() : ~u64{0};
    const bool waits = c.monitor.waiting && c.monitor.deadline != 0;
    return std::min({timer, interrupt, waits ? c.monitor.deadline : ~u64{0}});
}

bool must_step(const Cpu& c) {
    return shadowed(c) || c.flags.has(Rflag::tf) || c.flags.has(Rflag::rf) ||
           wants_monitor_trap(c) || has_breakpoints(c) || has_watches(c);
}

void after_step(Cpu& c, bool trap_flag_before, InterruptibilityState blocking_before) {
    EventState& s = c.event;
    const InterruptibilityState shadow =
        blocking_before & InterruptibilityState{Interruptibility::sti, Interruptibility::mov_ss};
    if (blocking_before.has(Interruptibility::mov_ss)) drop_suppressed_trap(s);
    s.blocking = s.blocking.without(shadow);
    if (!s.resume_loaded) c.flags.set(Rflag::rf, false);
    const bool masked = s.trap_inhibited || (c.enclave.active && !c.enclave.debug_opt_in);
    if (trap_flag_before && !masked) {
        s.trap_pending = true;
        s.pending_debug |= pending_bs;
    }
    if (s.watch_hits != 0) s.pending_debug |= s.watch_hits | pending_enabled_breakpoint;
    s.watch_hits = 0;
    if (wants_monitor_trap(c) && !s.trap_inhibited) s.mtf_pending = true;
}

}  // namespace postern::cpu
