// SPDX-License-Identifier: Apache-2.0
// The members of a processor's state that a snapshot holds, down to types without padding. Left
// out is what is dead between two instructions: Cpu::pending and the scratch of a handler.
#pragma once

#include "cpu/cpu.h"
#include "platform/snapshot/bytes.h"

namespace postern::platform::snapshot {

template <class T, class S>
concept Is = std::same_as<std::remove_const_t<T>, S>;

void fields(auto& f, Is<cpu::DescriptorTable> auto& s) { f(s.base, s.limit); }

void fields(auto& f, Is<cpu::VectorState> auto& s) { f(s.zmm, s.x87, s.mxcsr); }

void fields(auto& f, Is<cpu::EventInProgress> auto& s) {
    f(s.valid, s.enclave, s.injected, s.information, s.error_code, s.instruction_length, s.address);
}

void fields(auto& f, Is<cpu::EventState> auto& s) {
    f(s.blocking, s.activity, s.nmi_pending, s.init_pending, s.sipi_pending, s.sipi_vector,
      s.mtf_pending, s.trap_pending, s.pending_debug, s.delivering, s.injection, s.resume_loaded,
      s.trap_inhibited, s.repeating, s.watch_hits, s.pause_first, s.pause_latest, s.faults_in_a_row,
      s.latest_fault);
}

void fields(auto& f, Is<cpu::Vmcs> auto& s) { f(s.slot, s.launched); }

void fields(auto& f, Is<cpu::ApicAccessPage> auto& s) { f(s.virtualized, s.page); }

void fields(auto& f, Is<cpu::VirtualApicState> auto& s) {
    f(s.recognized, s.threshold_exit, s.write_pending, s.write_size, s.write_offset);
}

void fields(auto& f, Is<cpu::SpaceTag> auto& s) {
    f(s.valid, s.vpid, s.pkru, s.ept_pointer, s.cr0, s.cr3, s.cr4, s.efer, s.apic_access);
}

void fields(auto& f, Is<cpu::SpaceTags> auto& s) {
    for (auto& tag : s.tag) f(tag);
    f(s.chosen, s.choices, s.current);
}

void fields(auto& f, Is<cpu::VmxState> auto& s) {
    f(s.on, s.non_root, s.hosted, s.vmxon_region, s.current, s.preemption_deadline, s.vpid,
      s.ept_pointer, s.tsc_offset, s.tsc_multiplier, s.apic_access, s.virtual_apic, s.abort,
      s.vmcs);
}

void fields(auto& f, Is<cpu::Enclave> auto& s) {
    f(s.active, s.debug_opt_in, s.outer_tf, s.mode64, s.secs_page, s.tcs_page, s.base, s.size,
      s.tcs_linear, s.aep, s.xfrm, s.entry_epoch, s.misc_select, s.ssa_frame_pages, s.ssa_gpr,
      s.ssa_misc, s.ssa_xsave, s.outer_xcr0, s.outer_fs, s.outer_gs);
}

void fields(auto& f, Is<cpu::Monitor> auto& s) {
    f(s.line, s.deadline, s.armed, s.user, s.waiting, s.masked_interrupts_wake, s.limited);
}

void fields(auto& f, Is<cpu::Cpu> auto& s) {
    f(s.gpr, s.rip, s.budget, s.result, s.carries, s.adjust, s.cpl, s.horizon, s.flags, s.segment,
      s.gdtr, s.idtr, s.cr0, s.cr2, s.cr3, s.cr4, s.efer, s.xcr0, s.pkru, s.pdpte, s.dr, s.dr6,
      s.dr7, s.msr, s.vector, s.event, s.vmx, s.enclave, s.monitor, s.code_page, s.spaces,
      s.number);
}

/// Calls `leaf` with every member that has no padding inside.
template <class Leaf>
struct EachField {
    Leaf leaf;

    template <class... M>
    void operator()(M&... members) {
        (one(members), ...);
    }

private:
    template <class M>
    void one(M& member) {
        if constexpr (requires { fields(*this, member); })
            fields(*this, member);
        else
            leaf(member);
    }
};

template <class State, class Leaf>
void each_field(State& state, Leaf leaf) {
    EachField<Leaf> each{std::move(leaf)};
    each(state);
}

}  // namespace postern::platform::snapshot
