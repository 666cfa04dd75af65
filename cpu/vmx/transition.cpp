// SPDX-License-Identifier: Apache-2.0
// Host state, and translations across VM entries and VM exits.
#include "cpu/vmx/transition.h"

#include "arch/regs/dr7.h"
#include "cpu/event/breakpoint.h"
#include "cpu/event/event.h"
#include "cpu/flags.h"
#include "cpu/mmu/access.h"
#include "cpu/vmx/msr_list.h"
#include "cpu/vmx/region.h"
#include "cpu/vmx/vmx.h"

namespace postern::cpu::vmx {
namespace {

using F = VmcsField;

template <VmcsField field>
u16 selector(const Cpu& c) {
    return static_cast<u16>(c.vmx.vmcs.get<field>());
}

// Access rights of loaded host segments.
constexpr u32 code_rights = 0xb | 1u << 4 | access_rights_present | 1u << 15;
constexpr u32 code_long = 1u << 13;
constexpr u32 data_rights = 0x3 | 1u << 4 | access_rights_present | 1u << 14 | 1u << 15;
constexpr u32 big = 1u << 14;
constexpr u32 tss_rights = 0xb | access_rights_present;
constexpr u32 tss_limit = 0x67;
constexpr u32 table_limit = 0xffff;

Segment host_code(const Cpu& c, bool is_64_bit) {
    const u32 size = is_64_bit ? code_long : big;
    return {selector<F::host_cs_selector>(c), 0, code_rights | size, ~u32{0}, 0, 0};
}

/// A null selector makes a data segment unusable; its base is loaded all the same.
Segment host_data(u16 loaded, u64 base) {
    const u32 unusable = loaded == 0 ? access_rights_unusable : 0;
    return {loaded, 0, data_rights | unusable, ~u32{0}, 0, base};
}

/// SDM 3C, "Loading Host Segment and Descriptor-Table Registers".
void load_host_segments(Cpu& c) {
    const Vmcs& v = c.vmx.vmcs;
    const bool is_64_bit = has(v, ExitControl::host_address_space_size);
    set_segment(c, cs, host_code(c, is_64_bit));
    set_segment(c, ss, host_data(selector<F::host_ss_selector>(c), 0));
    set_segment(c, ds, host_data(selector<F::host_ds_selector>(c), 0));
    set_segment(c, es, host_data(selector<F::host_es_selector>(c), 0));
    set_segment(c, fs, host_data(selector<F::host_fs_selector>(c), v.get<F::host_fs_base>()));
    set_segment(c, gs, host_data(selector<F::host_gs_selector>(c), v.get<F::host_gs_base>()));
    set_segment(
        c, tr,
        {selector<F::host_tr_selector>(c), 0, tss_rights, tss_limit, 0, v.get<F::host_tr_base>()});
    set_segment(c, ldtr, {0, 0, access_rights_unusable, 0, 0, 0});
    c.gdtr = {v.get<F::host_gdtr_base>(), table_limit};
    c.idtr = {v.get<F::host_idtr_base>(), table_limit};
    c.cpl = 0;
}

/// PAE follows the host's address-space size, and PCIDs are IA-32e mode's.
Cr4Word host_cr4(const Vmcs& v) {
    const auto loaded = Cr4Word::from_raw(v.get<F::host_cr4>());
    return has(v, ExitControl::host_address_space_size) ? loaded.with(Cr4::pae)
                                                        : loaded.without({Cr4::pcide});
}

/// SDM 3C, "Loading Host Control Registers, Debug Registers, MSRs".
void load_host_registers(Cpu& c) {
    const Vmcs& v = c.vmx.vmcs;
    const bool is_64_bit = has(v, ExitControl::host_address_space_size);
    c.cr0 = merged_cr0(c.cr0, v.get<F::host_cr0>());
    c.cr3 = v.get<F::host_cr3>();
    c.cr4 = host_cr4(v);
    c.dr7 = dr7_reset;
    c.msr.debugctl = 0;
    c.msr.sysenter_cs = v.get<F::host_ia32_sysenter_cs>();
    c.msr.sysenter_esp = v.get<F::host_ia32_sysenter_esp>();
    c.msr.sysenter_eip = v.get<F::host_ia32_sysenter_eip>();
    if (has(v, ExitControl::load_ia32_pat)) c.msr.pat = v.get<F::host_ia32_pat>();
    c.efer = has(v, ExitControl::load_ia32_efer)
                 ? EferWord::from_raw(v.get<F::host_ia32_efer>())
                 : c.efer.with(Efer::lma, is_64_bit).with(Efer::lme, is_64_bit);
}

/// SDM 3C, "Checking and Loading Host Page-Directory-Pointer-Table Entries".
bool load_host_pdptes(Cpu& c) {
    const bool pae = c.cr0.has(Cr0::pg) && c.cr4.has(Cr4::pae) && !c.efer.has(Efer::lma);
    return !pae || load_pdptes(c, c.cr3).ok();
}

/// SDM 3C, "Loading Host RIP, RSP, RFLAGS, and SSP" and "Updating Non-Register State". Whether
/// NMIs are blocked is the caller's business.
void load_host_flow(Cpu& c) {
    const bool nmi_blocked = c.event.blocking.has(Interruptibility::nmi);
    c.rip = c.vmx.vmcs.get<F::host_rip>();
    c.next_rip = c.rip;
    c.gpr[rsp] = c.vmx.vmcs.get<F::host_rsp>();
    set_rflags(c, rflags_fixed_one);
    c.event = what_stays_pending(c.event);
    c.event.blocking.set(Interruptibility::nmi, nmi_blocked);
}

}  // namespace

EventState what_stays_pending(const EventState& event) {
    EventState kept{};
    kept.nmi_pending = event.nmi_pending;
    kept.init_pending = event.init_pending;
    return kept;
}

void enter_root(Cpu& c) {
    const Vmcs& v = c.vmx.vmcs;
    load_host_registers(c);
    load_host_segments(c);
    load_host_flow(c);
    c.pending = {};
    c.vmx.non_root = false;
    c.vmx.vpid = 0;
    c.vmx.ept_pointer = 0;
    c.vmx.tsc_offset = c.vmx.tsc_multiplier = 0;
    c.vmx.apic_access = {};
    c.vmx.virtual_apic = {};
    c.vmx.preemption_deadline = ~u64{0};
    select_space(c);
    if (!load_host_pdptes(c)) return abort(c, Abort::host_pdptes);
    const auto count = static_cast<u32>(v.get<F::vm_exit_msr_load_count>());
    const u32 bad = load_msr_list(c, Hpa{v.get<F::vm_exit_msr_load_address>()}, count);
    if (bad != 0 && !is_unimplemented(c)) abort(c, Abort::loading_host_msrs);
}

void abort(Cpu& c, Abort indicator) {
    c.vmx.abort = static_cast<u32>(indicator);
    write_physical(c, Hpa{c.vmx.current} + region_abort, 4, c.vmx.abort);
    c.event.activity = ActivityState::shutdown;
}

void leave_guest_translations(Cpu& c, const Exit& e) {
    if (c.vmx.vpid == 0) return flush_vpid(c);
    constexpr u64 linear_is_valid = 1u << 7;
    if (e.reason != BasicReason::ept_violation || (e.qualification & linear_is_valid) == 0) return;
    forget_faulting_page(c, Gva{e.guest_linear});
}

void enter_guest_translations(Cpu& c) {
    // Pages with watched bytes may not be in the TLB.
    if (watches_data(c)) return flush_translations(c);
    if (c.vmx.vpid == 0) return flush_vpid(c);
    select_space(c);
}

}  // namespace postern::cpu::vmx
