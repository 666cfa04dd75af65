// SPDX-License-Identifier: Apache-2.0
// VM entries of L1. SDM 3C, "VM Entries".
#include "arch/vmx/exit_qualification.h"
#include "arch/vmx/transition.h"
#include "hv/nested/nested.h"
#include "hv/vcpu.h"

namespace postern::hv {
namespace {

using F = VmcsField;

}  // namespace

Nested::Entered Nested::enter() {
    if (const VmInstructionError error = refused(); error != VmInstructionError::none)
        return {.error = error};
    if (const u64 qualification = bad_guest_state(); qualification != none)
        return fail_entry(BasicReason::entry_failure_guest_state, qualification);
    const Outer outer = this->outer();
    if (const Next next = switch_to_l2(outer); next != Next::resume) return {.next = next};
    if (!write_pdptes())
        return fail_entry(BasicReason::entry_failure_guest_state,
                          static_cast<u64>(EntryFailureQualification::pdpte));
    const u32 bad = load_msrs(l1<F::vm_entry_msr_load_address>(), l1<F::vm_entry_msr_load_count>());
    if (bad != 0) return fail_entry(BasicReason::entry_failure_msr_loading, bad);
    state_.vmcs12.launched = 1;
    // What L1's exit saves, and has for bits that it owns.
    const auto cr0 = Cr0Word::from_raw(outer.cr0);
    state_.vmcs12.set<F::guest_cr0>(merged_cr0(cr0, l1<F::guest_cr0>()).to_raw());
    return {};
}

/// From VMCS01 to VMCS02, with L2's state in it and the event that L1 injects.
Next Nested::switch_to_l2(const Outer& outer) {
    Vcpu& v = vcpu_;
    state_.windows01 = v.windows_;
    state_.launched01 = v.launched_;
    const bool selected = state_.built != 0 ? select(state_.vmcs02) : build();
    if (!selected) return v.stop(StopReason::vmfail, "VMCLEAR or VMPTRLD of a nested VMCS");
    v.launched_ = state_.launched02 != 0;
    v.windows_ = {};
    state_.in_l2 = 1;
    if (const Next next = write_controls(outer); next != Next::resume) return next;
    write_guest_state(outer);
    v.set_rip(RipCause::nesting_switch, l1<F::guest_rip>());
    v.write_tsc_offset();
    v.write_encls_bitmap();
    v.pending_ = {InterruptionInformation::from_raw(l1<F::vm_entry_interruption_information>()),
                  l1<F::vm_entry_exception_error_code>(), l1<F::vm_entry_instruction_length>()};
    // Of physical NMIs, which L1's virtual ones are not: an injected one blocks them anew.
    if (v.pending_.valid() && v.pending_.information.type() == InterruptionType::nmi)
        v.port_.vmwrite(F::guest_interruptibility_state,
                        v.interruptibility().with(Interruptibility::nmi, false).to_raw());
    v.entry_field_set_ = true;
    state_.entering = 1;
    if (static_cast<ActivityState>(l1<F::guest_activity_state>()) == ActivityState::wait_for_sipi) {
        // Nothing runs, and only the local APIC is told of what would end it.
        v.port_.vmwrite(F::guest_activity_state, 0);
        v.apic_.set_activity(ActivityState::wait_for_sipi);
    }
    return Next::resume;
}

/// An entry that failed late is an exit: of what L2 would have had nothing is saved. SDM 3C,
/// "VM-Entry Failures During or After Loading Guest State".
Nested::Entered Nested::fail_entry(BasicReason reason, u64 qualification) {
    L1Exit exit;
    exit.reason = ExitReason{reason}.with_entry_failure();
    exit.qualification = qualification;
    return {.next = leave(exit)};
}

Next Nested::entry_failed(const Capture& exit) {
    L1Exit failed;
    failed.reason = exit.reason;
    failed.qualification = exit.qualification;
    return leave(failed);
}

}  // namespace postern::hv
