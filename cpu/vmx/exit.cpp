// SPDX-License-Identifier: Apache-2.0
// VM exit. SDM 3C, "VM Exits": what is recorded, what is saved, what is loaded; and what is
// different when an enclave was interrupted.
#include "arch/vmx/interruption_information.h"
#include "cpu/event/event.h"
#include "cpu/flags.h"
#include "cpu/vmx/guest_segment.h"
#include "cpu/vmx/msr_list.h"
#include "cpu/vmx/transition.h"
#include "cpu/vmx/vmx.h"

namespace postern::cpu::vmx {
namespace {

using F = VmcsField;

constexpr u64 page_offset = page_size - 1;

InterruptionInformation information_of(const EventInProgress& event) {
    return event.valid ? InterruptionInformation::from_raw(event.information)
                       : InterruptionInformation{};
}

/// INT3 in an enclave is reported as a hardware exception. SDM 3C, "Information for VM Exits Due
/// to Vectored Events".
InterruptionInformation as_from_enclave(InterruptionInformation event) {
    return event.type() == InterruptionType::software_exception &&
                   event.is_exception(Vector::breakpoint)
               ? InterruptionInformation::hardware_exception(Vector::breakpoint)
               : event;
}

/// The event whose delivery met this exit; not valid if there is none. A triple fault, and a #DF
/// that exits directly, do not count as met during delivery. SDM 3C, "Information for VM Exits
/// That Occur During Event Delivery".
EventInProgress original_event(const Cpu& c, const Exit& e) {
    const auto direct = InterruptionInformation::from_raw(e.interruption_information);
    const bool double_fault =
        e.reason == BasicReason::exception_or_nmi && direct.is_exception(Vector::double_fault);
    if (double_fault || e.reason == BasicReason::triple_fault) return {};
    return c.event.delivering;
}

/// An event that interrupted an enclave is being delivered; not one that VM entry injected.
bool delivers_from_enclave(const Cpu& c) {
    const EventInProgress& event = c.event.delivering;
    return event.valid && event.enclave && !event.injected;
}

/// SDM 3C, "Basic VM-Exit Information".
bool is_incident_to_enclave(const Cpu& c, const Exit& e) {
    return e.enclave || (c.event.delivering.valid && c.event.delivering.enclave);
}

void record_idt_vectoring(Vmcs& v, const EventInProgress& original) {
    auto event = information_of(original);
    if (original.enclave && !original.injected) event = as_from_enclave(event);
    v.set<F::idt_vectoring_information>(event.to_raw());
    v.set<F::idt_vectoring_error_code>(event.error_code_valid() ? original.error_code : 0);
}

/// Addresses lose their page offset if and only if an enclave's own instruction made the access.
u64 recorded_qualification(const Exit& e, InterruptionInformation event) {
    const bool address =
        e.reason == BasicReason::apic_access ||
        (e.reason == BasicReason::exception_or_nmi && event.is_exception(Vector::page_fault));
    return e.enclave && address ? e.qualification & ~page_offset : e.qualification;
}

u32 recorded_length(const Exit& e, const EventInProgress& original) {
    if (e.enclave) return 0;
    const auto event = information_of(original);
    return event.valid() && event.uses_instruction_length() ? original.instruction_length
                                                            : e.instruction_length;
}

/// SDM 3C, "Recording VM-Exit Information and Updating VM-Entry Control Fields".
void record_information(Cpu& c, const Exit& e, const EventInProgress& original) {
    Vmcs& v = c.vmx.vmcs;
    const u64 kept = e.enclave ? ~page_offset : ~u64{0};
    auto event = InterruptionInformation::from_raw(e.interruption_information);
    if (e.enclave) event = as_from_enclave(event);
    const ExitReason plain{e.reason};
    const ExitReason reason = is_incident_to_enclave(c, e) ? plain.in_enclave() : plain;
    c.exit_counts.count(reason);
    v.set<F::exit_reason>(reason.to_vmcs());
    v.set<F::exit_qualification>(recorded_qualification(e, event));
    v.set<F::guest_linear_address>(e.guest_linear & kept);
    v.set<F::guest_physical_address>(e.guest_physical & kept);
    v.set<F::vm_exit_interruption_information>(event.valid() ? event.to_raw() : 0);
    v.set<F::vm_exit_interruption_error_code>(
        event.valid() && event.error_code_valid() ? e.interruption_error_code : 0);
    record_idt_vectoring(v, original);
    v.set<F::vm_exit_instruction_length>(recorded_length(e, original));
    v.set<F::vm_exit_instruction_information>(e.enclave ? 0 : e.instruction_information);
    v.set<F::vm_entry_interruption_information>(v.get<F::vm_entry_interruption_information>() &
                                                ~bit_mask(31, 31));
    const auto controls = EntryControls::from_raw(static_cast<u32>(v.get<F::vm_entry_controls>()));
    v.set<F::vm_entry_controls>(
        controls.with(EntryControl::ia32e_mode_guest, c.efer.has(Efer::lma)).to_raw());
}

/// How a VM exit saves RF.
enum class ResumeFlag : u8 {
    as_it_was,  // or set, if the exit says that it is fault-like
    clear,      // an instruction that exits
    access,     // an access that exits: set, or the image of the event being delivered
};

ResumeFlag resume_flag_rule(BasicReason reason) {
    using enum BasicReason;
    switch (reason) {
        case apic_access:
        case ept_violation:
        case ept_misconfiguration:
        case page_modification_log_full:
        case spp_related_event: return ResumeFlag::access;
        case exception_or_nmi:
        case external_interrupt:
        case triple_fault:
        case init_signal:
        case startup_ipi:
        case io_smi:
        case other_smi:
        case interrupt_window:
        case nmi_window:
        case task_switch:
        case monitor_trap_flag:
        case tpr_below_threshold:
        case virtualized_eoi:
        case vmx_preemption_timer_expired:
        case apic_write:
        case bus_lock:
        case instruction_timeout: return ResumeFlag::as_it_was;
        default: return ResumeFlag::clear;
    }
}

/// RF of the image that delivery of `event` pushes. What VM entry injects pushes RF as loaded.
bool image_resume_flag(const EventInProgress& event, bool current) {
    const auto information = information_of(event);
    const bool fault = information.type() == InterruptionType::hardware_exception &&
                       !information.is_exception(Vector::debug) &&
                       !information.is_exception(Vector::double_fault) &&
                       !information.is_exception(Vector::machine_check);
    return current || (fault && !event.injected);
}

/// SDM 3C, "Saving RIP, RSP, RFLAGS, and SSP". After an enclave RF is 0 whatever the reason.
bool saved_resume_flag(const Cpu& c, const Exit& e, const EventInProgress& original) {
    const bool current = c.flags.has(Rflag::rf);
    if (e.enclave || delivers_from_enclave(c)) return false;
    switch (resume_flag_rule(e.reason)) {
        case ResumeFlag::clear: return false;
        case ResumeFlag::access: return !original.valid || image_resume_flag(original, current);
        case ResumeFlag::as_it_was: break;
    }
    return current || e.sets_rf;
}

/// Bit 4 says that an enclave was interrupted; a VM exit met while delivering what VM entry
/// injected leaves the bit as the hypervisor wrote it. SDM 3C, "Saving Non-Register State".
InterruptibilityState saved_interruptibility(const Cpu& c, const Exit& e) {
    const auto loaded = InterruptibilityState::from_raw(
        static_cast<u32>(c.vmx.vmcs.get<F::guest_interruptibility_state>()));
    const EventInProgress& event = c.event.delivering;
    const bool unmodified = event.valid && event.injected && !e.enclave;
    const bool enclave =
        unmodified ? loaded.has(Interruptibility::enclave) : e.enclave || delivers_from_enclave(c);
    return c.event.blocking.with(Interruptibility::enclave, enclave);
}

bool saves_pending_debug(const Cpu& c, const Exit& e) {
    const auto event = InterruptionInformation::from_raw(e.interruption_information);
    const bool exception = e.reason == BasicReason::exception_or_nmi;
    switch (e.reason) {
        case BasicReason::init_signal:
        case BasicReason::io_smi:
        case BasicReason::other_smi:
        case BasicReason::tpr_below_threshold:
        case BasicReason::virtualized_eoi:
        case BasicReason::apic_write:
        case BasicReason::monitor_trap_flag: return true;
        default: break;
    }
    if (exception && event.is_exception(Vector::machine_check)) return true;
    if (exception && event.is_exception(Vector::debug)) return false;
    return c.event.blocking.has(Interruptibility::mov_ss);
}

/// SDM 3C, "Saving Non-Register State".
void save_non_register_state(Cpu& c, const Exit& e) {
    Vmcs& v = c.vmx.vmcs;
    const bool awake = c.event.delivering.valid || e.enclave;
    const ActivityState activity = awake ? ActivityState::active : c.event.activity;
    const u64 single_step =
        c.event.trap_pending ? PendingDebugExceptions{PendingDebug::bs}.to_raw() : 0;
    v.set<F::guest_interruptibility_state>(saved_interruptibility(c, e).to_raw());
    v.set<F::guest_activity_state>(static_cast<u32>(activity));
    v.set<F::guest_pending_debug_exceptions>(
        saves_pending_debug(c, e) ? c.event.pending_debug | single_step : 0);
    if (has(v, ExitControl::save_vmx_preemption_timer_value)) {
        const u64 time = now(c);
        const u64 deadline = c.vmx.preemption_deadline;
        v.set<F::vmx_preemption_timer_value>(deadline > time ? deadline - time : 0);
    }
}

/// With EPT a guest with PAE paging has its PDPTEs saved. SDM 3C, "Saving Non-Register State".
void save_pdptes(Cpu& c) {
    Vmcs& v = c.vmx.vmcs;
    const bool pae = c.cr0.has(Cr0::pg) && c.cr4.has(Cr4::pae) && !c.efer.has(Efer::lma);
    if (!pae || !has(v, SecondaryControl::enable_ept)) return;
    v.set<F::guest_pdpte0>(c.pdpte[0]);
    v.set<F::guest_pdpte1>(c.pdpte[1]);
    v.set<F::guest_pdpte2>(c.pdpte[2]);
    v.set<F::guest_pdpte3>(c.pdpte[3]);
}

/// SDM 3C, "Saving Control Registers, Debug Registers, and MSRs".
void save_registers(Cpu& c) {
    Vmcs& v = c.vmx.vmcs;
    v.set<F::guest_cr0>(c.cr0.to_raw());
    v.set<F::guest_cr3>(c.cr3);
    v.set<F::guest_cr4>(c.cr4.to_raw());
    v.set<F::guest_ia32_sysenter_cs>(c.msr.sysenter_cs);
    v.set<F::guest_ia32_sysenter_esp>(c.msr.sysenter_esp);
    v.set<F::guest_ia32_sysenter_eip>(c.msr.sysenter_eip);
    if (has(v, ExitControl::save_debug_controls)) {
        v.set<F::guest_dr7>(c.dr7);
        v.set<F::guest_ia32_debugctl>(c.msr.debugctl);
    }
    if (has(v, ExitControl::save_ia32_pat)) v.set<F::guest_ia32_pat>(c.msr.pat);
    if (has(v, ExitControl::save_ia32_efer)) v.set<F::guest_ia32_efer>(c.efer.to_raw());
}

/// SDM 3C, "Saving Segment Registers and Descriptor-Table Registers".
void save_segments(Cpu& c) {
    Vmcs& v = c.vmx.vmcs;
    for (unsigned index = 0; index < segment_count; ++index)
        set_guest_segment(v, index, c.segment[index]);
    v.set<F::guest_gdtr_base>(c.gdtr.base);
    v.set<F::guest_gdtr_limit>(c.gdtr.limit);
    v.set<F::guest_idtr_base>(c.idtr.base);
    v.set<F::guest_idtr_limit>(c.idtr.limit);
}

/// SDM 3C, "Saving Guest State".
void save_guest(Cpu& c, const Exit& e, const EventInProgress& original) {
    Vmcs& v = c.vmx.vmcs;
    save_registers(c);
    save_segments(c);
    save_pdptes(c);
    const auto flags = Rflags::from_raw(rflags(c));
    v.set<F::guest_rip>(c.rip);
    v.set<F::guest_rsp>(c.gpr[rsp]);
    v.set<F::guest_rflags>(flags.with(Rflag::rf, saved_resume_flag(c, e, original)).to_raw());
    save_non_register_state(c, e);
}

/// In VMX root operation. SDM 3C, "Updating Non-Register State": an NMI that exits blocks NMIs;
/// with virtual NMIs what the guest had blocked was something else.
bool blocks_nmi_after(const Cpu& c, const Exit& e) {
    const auto event = InterruptionInformation::from_raw(e.interruption_information);
    const bool by_nmi = e.reason == BasicReason::exception_or_nmi && event.valid() &&
                        event.type() == InterruptionType::nmi;
    return by_nmi || (!has(c.vmx.vmcs, PinControl::virtual_nmis) &&
                      c.event.blocking.has(Interruptibility::nmi));
}

}  // namespace

void exit(Cpu& c, const Exit& e) {
    const EventInProgress original = original_event(c, e);
    c.pending = {};
    record_information(c, e, original);
    save_guest(c, e, original);
    const Vmcs& v = c.vmx.vmcs;
    c.vmx.tsc_offset = c.vmx.tsc_multiplier =
        0;  // the store area gets the time-stamp counter as it is
    const bool stored = store_msr_list(c, Hpa{v.get<F::vm_exit_msr_store_address>()},
                                       static_cast<u32>(v.get<F::vm_exit_msr_store_count>()));
    if (!stored) {
        if (!is_unimplemented(c)) abort(c, Abort::saving_guest_msrs);
        return;
    }
    if (c.efer.has(Efer::lma) && !has(v, ExitControl::host_address_space_size))
        return abort(c, Abort::host_address_space_size);
    leave_guest_translations(c, e);
    c.event.blocking.set(Interruptibility::nmi, blocks_nmi_after(c, e));
    enter_root(c);
}

Failed raise_exit(Cpu& c, BasicReason reason, u64 qualification, u32 instruction_information) {
    c.pending = {};
    c.pending.kind = PendingKind::vm_exit;
    c.pending.reason = reason;
    c.pending.qualification = qualification;
    c.pending.instruction_length = static_cast<u32>(c.next_rip - c.rip);
    c.pending.instruction_information = instruction_information;
    return {};
}

}  // namespace postern::cpu::vmx
