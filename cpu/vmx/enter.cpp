// SPDX-License-Identifier: Apache-2.0
// VM entry. SDM 3C, "VM Entries": checks, guest state, MSRs, the event to inject.
#include "arch/regs/dr7.h"
#include "arch/vmx/entry_checks/pdptes.h"
#include "arch/vmx/interruption_information.h"
#include "cpu/flags.h"
#include "cpu/vmx/check.h"
#include "cpu/vmx/cpu_view.h"
#include "cpu/vmx/guest_segment.h"
#include "cpu/vmx/msr_list.h"
#include "cpu/vmx/transition.h"
#include "cpu/vmx/virtual_apic.h"

namespace postern::cpu::vmx {
namespace {

using F = VmcsField;
using enum VmInstructionError;

/// Bits 11 and below of DR7 that are fixed, and 12, 14 and 15, read as they always do.
constexpr u64 loaded_dr7(u64 dr7) {
    constexpr u64 cleared = u64{1} << 12 | u64{1} << 14 | u64{1} << 15;
    return (dr7 & ~cleared) | dr7_reset;
}

/// SDM 3C, "Loading Guest Control Registers, Debug Registers, and MSRs".
void load_guest_registers(Cpu& c) {
    const Vmcs& v = c.vmx.vmcs;
    c.cr0 = merged_cr0(c.cr0, v.get<F::guest_cr0>());
    c.cr3 = v.get<F::guest_cr3>();
    c.cr4 = Cr4Word::from_raw(v.get<F::guest_cr4>());
    if (has(v, EntryControl::load_debug_controls)) {
        c.dr7 = loaded_dr7(v.get<F::guest_dr7>());
        c.msr.debugctl = v.get<F::guest_ia32_debugctl>();
    }
    c.msr.sysenter_cs = v.get<F::guest_ia32_sysenter_cs>();
    c.msr.sysenter_esp = v.get<F::guest_ia32_sysenter_esp>();
    c.msr.sysenter_eip = v.get<F::guest_ia32_sysenter_eip>();
    if (has(v, EntryControl::load_ia32_pat)) c.msr.pat = v.get<F::guest_ia32_pat>();
    if (has(v, EntryControl::load_ia32_efer)) {
        c.efer = EferWord::from_raw(v.get<F::guest_ia32_efer>());
    } else {
        const bool ia32e = has(v, EntryControl::ia32e_mode_guest);
        c.efer.set(Efer::lma, ia32e);
        if (c.cr0.has(Cr0::pg)) c.efer.set(Efer::lme, ia32e);
    }
}

/// SDM 3C, "Loading Page-Directory-Pointer-Table Entries".
void load_pdptes_of_guest(Cpu& c) {
    const CpuView v{c};
    if (vm_entry::is_pae_guest(v)) c.pdpte = vm_entry::guest_pdptes(v);
}

constexpr u32 access_rights_defined = ~(access_rights_reserved | access_rights_unusable);
constexpr u32 access_rights_big = 1u << 14;

/// What is left of a register that is not usable. Base, limit and rights are undefined but for
/// what stands here; they keep the field's value as far as it is one that the register can hold.
Segment unusable_segment(unsigned index, Segment loaded) {
    loaded.access_rights = (loaded.access_rights & access_rights_defined) | access_rights_unusable;
    switch (index) {
        case ss:
            loaded.base &= 0xffff'fff0;
            loaded.access_rights |= access_rights_big;
            break;
        case ds:
        case es: loaded.base &= 0xffff'ffff; break;
        case ldtr:
            if (!is_canonical_48(loaded.base)) loaded.base = 0;
            break;
        default: break;
    }
    return loaded;
}

/// SDM 3C, "Loading Guest Segment Registers and Descriptor-Table Registers".
void load_guest_segments(Cpu& c) {
    const Vmcs& v = c.vmx.vmcs;
    for (unsigned index = 0; index < segment_count; ++index) {
        const Segment loaded = guest_segment(v, index);
        set_segment(c, index, loaded.unusable() ? unusable_segment(index, loaded) : loaded);
    }
    c.cpl = c.segment[ss].dpl();
    c.gdtr = {v.get<F::guest_gdtr_base>(), static_cast<u32>(v.get<F::guest_gdtr_limit>())};
    c.idtr = {v.get<F::guest_idtr_base>(), static_cast<u32>(v.get<F::guest_idtr_limit>())};
}

/// SDM 3C, "Special Features of VM Entry": an event goes through the IDT.
bool is_vectoring(InterruptionInformation event) {
    return event.valid() && event.type() != InterruptionType::other_event;
}

/// An event that VM entry delivers leaves no debug exception pending, unless it is an INT n or
/// INT3 in the shadow of MOV SS; nor does an activity state that takes none. SDM 3C, "Delivery of
/// Pending Debug Exceptions after VM Entry".
bool keeps_pending_debug(InterruptionInformation event, const EventState& state) {
    if (!is_vectoring(event))
        return state.activity == ActivityState::active || state.activity == ActivityState::hlt;
    const bool software = event.type() == InterruptionType::software_interrupt ||
                          event.type() == InterruptionType::software_exception;
    return software && state.blocking.has(Interruptibility::mov_ss);
}

/// SDM 3C, "Event Injection". An injected #PF leaves CR2 alone: the hypervisor has set it.
EventInProgress injected_event(const Cpu& c, InterruptionInformation event) {
    const Vmcs& v = c.vmx.vmcs;
    if (!event.valid()) return {};
    const bool has_length = event.uses_instruction_length();
    return {.valid = true,
            .enclave = c.event.blocking.has(Interruptibility::enclave),
            .injected = true,
            .information = event.to_raw(),
            .error_code = event.error_code_valid()
                              ? static_cast<u32>(v.get<F::vm_entry_exception_error_code>())
                              : 0,
            .instruction_length =
                has_length ? static_cast<u32>(v.get<F::vm_entry_instruction_length>()) : 0,
            .address = event.is_exception(Vector::page_fault) ? c.cr2 : 0};
}

/// SDM 3C, "Loading Guest RIP, RSP, RFLAGS, and SSP", "Updating Non-Register State" and
/// "Event Injection".
void load_guest_flow(Cpu& c) {
    const Vmcs& v = c.vmx.vmcs;
    c.rip = v.get<F::guest_rip>();
    c.next_rip = c.rip;
    c.gpr[rsp] = v.get<F::guest_rsp>();
    set_rflags(c, v.get<F::guest_rflags>());
    const auto event = InterruptionInformation::from_raw(
        static_cast<u32>(v.get<F::vm_entry_interruption_information>()));
    c.event = what_stays_pending(c.event);
    c.event.blocking =
        InterruptibilityState::from_raw(static_cast<u32>(v.get<F::guest_interruptibility_state>()));
    c.event.activity =
        static_cast<ActivityState>(static_cast<u32>(v.get<F::guest_activity_state>()));
    if (keeps_pending_debug(event, c.event))
        c.event.pending_debug = v.get<F::guest_pending_debug_exceptions>();
    c.event.injection = injected_event(c, event);
}

/// What the controls mean while the guest runs.
void start_controls(Cpu& c) {
    const Vmcs& v = c.vmx.vmcs;
    c.vmx.vpid = has(v, SecondaryControl::enable_vpid)
                     ? static_cast<u16>(v.get<F::virtual_processor_identifier>())
                     : u16{0};
    c.vmx.ept_pointer = has(v, SecondaryControl::enable_ept) ? v.get<F::ept_pointer>() : 0;
    c.vmx.apic_access = {};
    if (has(v, SecondaryControl::virtualize_apic_accesses))
        c.vmx.apic_access = {true, v.get<F::apic_access_address>()};
    // SDM 3C, "Changes to Instruction Behavior in VMX Non-Root Operation", of RDTSC: without
    // offsetting there is no scaling.
    const bool offsets = has(v, PrimaryControl::use_tsc_offsetting);
    const bool scales = offsets && has(v, SecondaryControl::use_tsc_scaling);
    c.vmx.tsc_offset = offsets ? v.get<F::tsc_offset>() : 0;
    c.vmx.tsc_multiplier = scales ? v.get<F::tsc_multiplier>() : 0;
    c.vmx.preemption_deadline = has(v, PinControl::activate_vmx_preemption_timer)
                                    ? now(c) + v.get<F::vmx_preemption_timer_value>()
                                    : ~u64{0};
    begin_virtual_apic(c);
}

/// SDM 3C, "VM-Entry Failures During or After Loading Guest State": exit reason and
/// qualification are all that is recorded; host state is loaded; the guest's stays as it is.
void fail_entry(Cpu& c, BasicReason reason, u64 qualification) {
    Vmcs& v = c.vmx.vmcs;
    const ExitReason failed = ExitReason{reason}.with_entry_failure();
    c.exit_counts.count(failed);
    v.set<F::exit_reason>(failed.to_vmcs());
    v.set<F::exit_qualification>(qualification);
    flush_vpid(c, 0);
    enter_root(c);
}

/// From here on VMLAUNCH and VMRESUME cannot fail any more; the entry can. SDM 3C, "Checking and
/// Loading Guest State" and "Clearing Address-Range Monitoring".
bool enter_guest(Cpu& c) {
    const Vmcs& v = c.vmx.vmcs;
    if (const EntryCheck* violated = first_violated(EntryFailure::guest, c)) {
        fail_entry(c, BasicReason::entry_failure_guest_state,
                   static_cast<u64>(violated->qualification));
        return false;
    }
    const bool nmi_blocked = c.event.blocking.has(Interruptibility::nmi);
    load_guest_registers(c);
    load_pdptes_of_guest(c);
    load_guest_segments(c);
    load_guest_flow(c);
    c.monitor = {};
    c.pending = {};
    const u32 bad = load_msr_list(c, Hpa{v.get<F::vm_entry_msr_load_address>()},
                                  static_cast<u32>(v.get<F::vm_entry_msr_load_count>()));
    if (is_unimplemented(c)) return false;
    if (bad != 0) {
        c.event.blocking.set(Interruptibility::nmi, nmi_blocked);
        fail_entry(c, BasicReason::entry_failure_msr_loading, bad);
        return false;
    }
    c.enclave.active = false;
    c.vmx.non_root = true;
    start_controls(c);
    enter_guest_translations(c);
    return true;
}

}  // namespace

/// SDM 3C, "VMLAUNCH/VMRESUME" and "VM Entries".
Status enter(Cpu& c, bool launch, bool& entered) {
    entered = false;
    Vmcs& v = c.vmx.vmcs;
    // After a VMX abort the processor is shut down: nothing runs on it any more.
    if (c.vmx.current == no_vmcs || c.vmx.abort != 0) return {Status::Kind::fail_invalid, {}};
    if (c.event.blocking.has(Interruptibility::mov_ss))
        return fail(c, entry_events_blocked_by_mov_ss);
    if (launch && v.launched) return fail(c, vmlaunch_non_clear_vmcs);
    if (!launch && !v.launched) return fail(c, vmresume_non_launched_vmcs);
    if (first_violated(EntryFailure::controls, c) != nullptr)
        return fail(c, entry_invalid_control_fields);
    if (first_violated(EntryFailure::host, c) != nullptr) return fail(c, entry_invalid_host_state);

    entered = enter_guest(c);
    if (entered) v.launched = true;
    return succeed();
}

}  // namespace postern::cpu::vmx
