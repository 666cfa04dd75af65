// SPDX-License-Identifier: Apache-2.0
// VM exits to L1: what its VMCS then holds of its guest and of the exit, and the host state it goes
// on with. SDM 3C, "VM Exits".
#include "arch/regs/dr7.h"
#include "arch/vmx/transition.h"
#include "hv/control_registers.h"
#include "hv/nested/guest_fields.h"
#include "hv/nested/nested.h"
#include "hv/nested/reflect.h"
#include "hv/vcpu.h"

namespace postern::hv {
namespace {

using F = VmcsField;

constexpr u32 tss_limit = 0x67;
constexpr u32 table_limit = 0xffff;

/// A null selector makes a data segment unusable; its base is loaded all the same.
Segment host_data(u16 selector, u64 base = 0) {
    const u32 unusable = selector == 0 ? access_rights_unusable : 0;
    return {selector, 0, start_rights::flat_data | unusable, ~u32{0}, 0, base};
}

bool is_nmi(InterruptionInformation event) {
    return event.valid() && event.type() == InterruptionType::nmi;
}

}  // namespace

L1Exit Nested::reflected(const Capture& exit) const {
    L1Exit to;
    to.reason = reflected_reason(exit.reason, vcpu_.vm_.config().protections);
    to.qualification = exit.qualification;
    to.guest_linear = exit.guest_linear;
    to.guest_physical = exit.guest_physical;
    to.interruption = exit.interruption;
    to.interruption_error_code = exit.interruption_error_code;
    to.idt_vectoring = exit.idt_vectoring;
    to.idt_vectoring_error_code = exit.idt_vectoring_error_code;
    to.instruction_length = exit.instruction_length;
    to.instruction_information = exit.instruction_information;
    return to;
}

InterruptibilityState Nested::shown_interruptibility() const {
    return hv::shown_interruptibility(vcpu_.interruptibility(), vcpu_.vm_.config().protections);
}

/// An event that was to be injected, and now waits for L1, was being delivered.
L1Exit Nested::synthesized(BasicReason reason) {
    L1Exit to;
    to.reason = synthesized_reason(reason, shown_interruptibility());
    to.instruction_length = synthesized_instruction_length;
    const Event& waiting = vcpu_.pending_;
    if (waiting.valid()) {
        to.idt_vectoring = waiting.information;
        to.idt_vectoring_error_code = waiting.error_code;
        to.instruction_length = waiting.instruction_length;
    }
    return to;
}

/// SDM 3C, "Recording VM-Exit Information and Updating VM-Entry Control Fields". After an entry
/// that failed, reason and qualification are all there is.
void Nested::record(const L1Exit& exit) {
    Vmcs12& to = state_.vmcs12;
    to.set<F::exit_reason>(exit.reason.to_vmcs());
    to.set<F::exit_qualification>(exit.qualification);
    if (exit.reason.entry_failed()) return;
    to.set<F::guest_linear_address>(exit.guest_linear);
    to.set<F::guest_physical_address>(exit.guest_physical);
    to.set<F::vm_exit_interruption_information>(exit.interruption.to_raw());
    to.set<F::vm_exit_interruption_error_code>(exit.interruption_error_code);
    to.set<F::idt_vectoring_information>(exit.idt_vectoring.to_raw());
    to.set<F::idt_vectoring_error_code>(exit.idt_vectoring_error_code);
    to.set<F::vm_exit_instruction_length>(exit.instruction_length);
    to.set<F::vm_exit_instruction_information>(exit.instruction_information);
    const u32 valid = u32{1} << 31;
    to.set<F::vm_entry_interruption_information>(to.get<F::vm_entry_interruption_information>() &
                                                 ~valid);
}

/// Without virtual NMIs, but with NMI exiting, IRET leaves blocking by NMI as the entry loaded it.
/// SDM 3C, "Changes to Instruction Behavior in VMX Non-Root Operation".
bool Nested::blocks_nmis() const {
    const bool kept =
        state_.vmcs12.has(PinControl::nmi_exiting) && !state_.vmcs12.has(PinControl::virtual_nmis);
    const auto entered = InterruptibilityState::from_raw(l1<F::guest_interruptibility_state>());
    return vcpu_.interruptibility().has(Interruptibility::nmi) ||
           (kept && entered.has(Interruptibility::nmi));
}

/// SDM 3C, "Saving Guest State". Of CR0 and CR4 L1's bits are as L1 wrote them, ours as L2 sees
/// them.
void Nested::save_guest_state() {
    Port& port = vcpu_.port_;
    Vmcs12& to = state_.vmcs12;
    const bool blocked = blocks_nmis();
    for (const F field : guest_fields) to.set(field, port.vmread(field));
    for_each_segment_field([&](F field) { to.set(field, port.vmread(field)); });
    to.set<F::guest_interruptibility_state>(
        shown_interruptibility().with(Interruptibility::nmi, blocked).to_raw());
    to.set<F::guest_rip>(port.vmread(F::guest_rip));
    to.set<F::guest_cr0>(real_cr0(vcpu_.seen_cr0()));
    to.set<F::guest_cr4>(real_cr4(vcpu_.seen_cr4()) | capabilities_.cr4_fixed0());
    if (to.has(SecondaryControl::enable_ept))
        for (const F field : pdpte_fields) to.set(field, port.vmread(field));
    const u64 efer = port.vmread(F::guest_ia32_efer);
    if (to.has(ExitControl::save_debug_controls)) {
        to.set<F::guest_dr7>(port.vmread(F::guest_dr7));
        to.set<F::guest_ia32_debugctl>(port.vmread(F::guest_ia32_debugctl));
    }
    if (to.has(ExitControl::save_ia32_pat))
        to.set<F::guest_ia32_pat>(port.vmread(F::guest_ia32_pat));
    if (to.has(ExitControl::save_ia32_efer)) to.set<F::guest_ia32_efer>(efer);
    if (to.has(ExitControl::save_vmx_preemption_timer_value))
        to.set<F::vmx_preemption_timer_value>(port.vmread(F::vmx_preemption_timer_value));
    const bool lma = EferWord::from_raw(efer).has(Efer::lma);
    to.set<F::vm_entry_controls>(to.entry().with(EntryControl::ia32e_mode_guest, lma).to_raw());
}

/// From VMCS02 back to VMCS01. What no control of L1's exchanges is what L2 has left.
void Nested::switch_to_l1() {
    Vcpu& v = vcpu_;
    Port& port = v.port_;
    const u64 efer = port.vmread(F::guest_ia32_efer);
    const u64 pat = port.vmread(F::guest_ia32_pat);
    const bool nmi = blocks_nmis();
    state_.launched02 = v.launched_;
    v.launched_ = state_.launched01 != 0;
    state_.in_l2 = state_.entering = state_.trap_exits = 0;
    static_cast<void>(select(state_.vmcs01));
    v.windows_ = state_.windows01;
    v.entry_field_set_ = true;
    port.vmwrite(F::guest_ia32_efer, efer);
    port.vmwrite(F::guest_ia32_pat, pat);
    if (!state_.vmcs12.has(PinControl::virtual_nmis))
        port.vmwrite(F::guest_interruptibility_state,
                     v.interruptibility().with(Interruptibility::nmi, nmi).to_raw());
    v.write_tsc_offset();
    v.write_encls_bitmap();
}

/// SDM 3C, "Loading Host Control Registers, Debug Registers, MSRs".
void Nested::load_host_registers() {
    Vcpu& v = vcpu_;
    Port& port = v.port_;
    const Vmcs12& l1 = state_.vmcs12;
    const bool is_64_bit = l1.has(ExitControl::host_address_space_size);
    v.store_cr0(merged_cr0(Cr0Word::from_raw(v.seen_cr0()), l1.get<F::host_cr0>()));
    const auto cr4 = Cr4Word::from_raw(l1.get<F::host_cr4>());
    v.store_cr4((is_64_bit ? cr4.with(Cr4::pae) : cr4.without({Cr4::pcide})).to_raw());
    port.vmwrite(F::guest_cr3, l1.get<F::host_cr3>());
    port.vmwrite(F::guest_dr7, dr7_reset);
    port.vmwrite(F::guest_ia32_debugctl, 0);
    port.vmwrite(F::guest_ia32_sysenter_cs, l1.get<F::host_ia32_sysenter_cs>());
    port.vmwrite(F::guest_ia32_sysenter_esp, l1.get<F::host_ia32_sysenter_esp>());
    port.vmwrite(F::guest_ia32_sysenter_eip, l1.get<F::host_ia32_sysenter_eip>());
    if (l1.has(ExitControl::load_ia32_pat))
        port.vmwrite(F::guest_ia32_pat, l1.get<F::host_ia32_pat>());
    const auto efer = EferWord::from_raw(port.vmread(F::guest_ia32_efer))
                          .with(Efer::lma, is_64_bit)
                          .with(Efer::lme, is_64_bit);
    v.store_efer(l1.has(ExitControl::load_ia32_efer)
                     ? EferWord::from_raw(l1.get<F::host_ia32_efer>())
                     : efer);
}

/// SDM 3C, "Loading Host Segment and Descriptor-Table Registers".
void Nested::load_host_segments() {
    Vcpu& v = vcpu_;
    Port& port = v.port_;
    const Vmcs12& l1 = state_.vmcs12;
    const bool is_64_bit = l1.has(ExitControl::host_address_space_size);
    const u32 code = is_64_bit ? start_rights::code_64 : start_rights::code_32;
    v.write_segment(cs, {l1.get<F::host_cs_selector>(), 0, code, ~u32{0}, 0, 0});
    v.write_segment(ss, host_data(l1.get<F::host_ss_selector>()));
    v.write_segment(ds, host_data(l1.get<F::host_ds_selector>()));
    v.write_segment(es, host_data(l1.get<F::host_es_selector>()));
    v.write_segment(fs, host_data(l1.get<F::host_fs_selector>(), l1.get<F::host_fs_base>()));
    v.write_segment(gs, host_data(l1.get<F::host_gs_selector>(), l1.get<F::host_gs_base>()));
    v.write_segment(tr, {l1.get<F::host_tr_selector>(), 0, start_rights::busy_tss, tss_limit, 0,
                         l1.get<F::host_tr_base>()});
    v.write_segment(ldtr, {0, 0, access_rights_unusable, 0, 0, 0});
    port.vmwrite(F::guest_gdtr_base, l1.get<F::host_gdtr_base>());
    port.vmwrite(F::guest_gdtr_limit, table_limit);
    port.vmwrite(F::guest_idtr_base, l1.get<F::host_idtr_base>());
    port.vmwrite(F::guest_idtr_limit, table_limit);
}

/// SDM 3C, "VMX Aborts": L1's processor is shut down.
Next Nested::abort(const char* what) {
    ++vcpu_.counters_.triple_faults;
    return vcpu_.stop(StopReason::triple_fault, what);
}

/// SDM 3C, "Loading Host State", "Loading Host RIP, RSP, RFLAGS, and SSP" and "Updating
/// Non-Register State".
Next Nested::load_host_state() {
    Vcpu& v = vcpu_;
    Port& port = v.port_;
    const Vmcs12& l1 = state_.vmcs12;
    load_host_registers();
    load_host_segments();
    v.set_rip(RipCause::nesting_switch, l1.get<F::host_rip>());
    port.vmwrite(F::guest_rsp, l1.get<F::host_rsp>());
    port.vmwrite(F::guest_rflags, rflags_fixed_one);
    port.vmwrite(F::guest_pending_debug_exceptions, 0);
    const bool nmi = v.interruptibility().has(Interruptibility::nmi);
    port.vmwrite(F::guest_interruptibility_state,
                 InterruptibilityState{}.with(Interruptibility::nmi, nmi).to_raw());
    v.apic_.set_activity(ActivityState::active);
    if (!l1.has(SecondaryControl::enable_vpid)) port.invvpid(v.vpid());
    const ControlRegisters now = v.control_registers();
    if (is_pae_paging(now.cr0, now.cr4, now.efer) && !v.load_pdptes(now.cr3))
        return abort("a nested guest's exit finds host PDPTEs with reserved bits");
    const u32 bad =
        load_msrs(l1.get<F::vm_exit_msr_load_address>(), l1.get<F::vm_exit_msr_load_count>());
    if (bad != 0) return abort("a nested guest's exit cannot load the host's MSRs");
    return Next::resume;
}

Next Nested::leave(const L1Exit& exit) {
    Vcpu& v = vcpu_;
    record(exit);
    v.pending_ = {};
    if (!exit.reason.entry_failed()) {
        save_guest_state();
        if (!store_msrs(l1<F::vm_exit_msr_store_address>(), l1<F::vm_exit_msr_store_count>()))
            return abort("a nested guest's exit cannot store its MSRs");
    }
    const bool was_long = EferWord::from_raw(v.port_.vmread(F::guest_ia32_efer)).has(Efer::lma);
    if (in_l2()) switch_to_l1();
    if (!exit.reason.entry_failed())
        v.store_cr0(merged_cr0(Cr0Word::from_raw(l1<F::guest_cr0>()), v.seen_cr0()));
    if (was_long && !state_.vmcs12.has(ExitControl::host_address_space_size))
        return abort("a nested guest of 64 bits exits to a host of 32");
    if (is_nmi(exit.interruption))
        v.port_.vmwrite(F::guest_interruptibility_state,
                        v.interruptibility().with(Interruptibility::nmi).to_raw());
    v.act(Action::reflected);
    return load_host_state();
}

}  // namespace postern::hv
