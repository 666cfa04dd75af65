// SPDX-License-Identifier: Apache-2.0
// While L2 runs: which of its exits are L1's, and the events that take L2 out for L1.
#include <array>

#include "arch/vmx/exit_qualification.h"
#include "hv/nested/nested.h"
#include "hv/vcpu.h"

namespace postern::hv {
namespace {

using F = VmcsField;

Ept12Access access_of(const Capture& exit) {
    if (exit.reason.basic() != BasicReason::ept_violation) return {.read = true};
    const auto access = EptViolation::from_raw(exit.qualification);
    return {.read = access.read(), .write = access.write(), .execute = access.fetch()};
}

bool is_ept_exit(const Capture& exit) {
    const BasicReason reason = exit.reason.basic();
    return reason == BasicReason::ept_violation || reason == BasicReason::ept_misconfiguration;
}

}  // namespace

Nested::Sorted Nested::sort(Capture& exit) {
    if (is_ept_exit(exit)) return sort_ept(exit);
    if (!wants(exit)) return {};
    return {true, leave(reflected(exit))};
}

/// What L1's EPT says of the address. A page that both L1 and we have is mapped; a device of ours
/// is left to whoever carries out accesses of L1, at L1's address.
Nested::Sorted Nested::sort_ept(Capture& exit) {
    const ShadowEpt::Handled handled =
        ept_.handle(ept_pointer12(), Gpa{exit.guest_physical}, access_of(exit), ept_rules());
    switch (handled.answer) {
        case ShadowEpt::Answer::mapped:
            ++vcpu_.counters_.ept_maps;
            if (exit.kind != ExitKind::normal) ++vcpu_.counters_.ept_maps_from_enclave;
            if (exit.delivering()) vcpu_.requeue(exit);
            vcpu_.act(Action::mapped);
            return {true, Next::resume};
        case ShadowEpt::Answer::device: exit.guest_physical = handled.address.raw(); return {};
        case ShadowEpt::Answer::out_of_pages:
            return {true, vcpu_.stop(StopReason::out_of_table_pages)};
        case ShadowEpt::Answer::violation:
        case ShadowEpt::Answer::misconfiguration: break;
    }
    L1Exit to = reflected(exit);
    const bool violation = handled.answer == ShadowEpt::Answer::violation;
    const BasicReason reason =
        violation ? BasicReason::ept_violation : BasicReason::ept_misconfiguration;
    const bool from_enclave = to.reason.from_enclave();
    to.reason = ExitReason{reason};
    if (from_enclave) to.reason = to.reason.in_enclave();
    const auto qualification = EptViolation::from_raw(exit.qualification);
    to.qualification =
        violation ? qualification.with_permissions(handled.permissions.to_raw() & ept_rwx).to_raw()
                  : 0;
    return {true, leave(to)};
}

bool Nested::takes_exception(const Event& event) {
    if (!in_l2() || !event.is_exception()) return false;
    const unsigned vector = event.information.vector();
    if (!wants_exception(vector, event.error_code)) return false;
    L1Exit to = synthesized(BasicReason::exception_or_nmi);
    to.interruption = event.information;
    to.interruption_error_code = event.error_code;
    if (static_cast<Vector>(vector) == Vector::page_fault) {
        to.qualification = vcpu_.registers_.cr2;
        vcpu_.registers_.cr2 = vcpu_.cr2_at_exit_;
    }
    static_cast<void>(leave(to));
    return true;
}

/// SDM 3C, table "Exit Qualification for EPT Violations".
Next Nested::refuse_access(const SecondLevelFault& fault, Gva linear) {
    L1Exit to = synthesized(fault.misconfigured ? BasicReason::ept_misconfiguration
                                                : BasicReason::ept_violation);
    to.guest_physical = fault.l2.raw();
    if (fault.misconfigured) return leave(to);
    EptViolation qualification;
    if (fault.access.read) qualification = qualification.with_read();
    if (fault.access.write) qualification = qualification.with_write();
    if (fault.access.execute) qualification = qualification.with_fetch();
    to.qualification = qualification.with_permissions(fault.permissions.to_raw() & ept_rwx)
                           .with_linear_address()
                           .with_final_translation(fault.final_translation)
                           .to_raw();
    to.guest_linear = linear.raw();
    return leave(to);
}

Next Nested::shut_down() { return leave(synthesized(BasicReason::triple_fault)); }

/// What takes L2 out for L1, in the order of its priority. A processor that waits for a SIPI takes
/// nothing else; blocking by STI and MOV SS holds back interrupts and NMIs. SDM 3C, "Event
/// Blocking", "Other Causes of VM Exits".
Nested::ForL1 Nested::event_for_l1() const {
    const VirtualApic::State& apic = vcpu_.apic_.state();
    if (apic.activity == ActivityState::wait_for_sipi)
        return apic.start_up_pending != 0 ? ForL1::start_up : ForL1::nothing;
    if (apic.init_pending != 0) return ForL1::init;
    if (state_.trap_exits != 0) return ForL1::trap;
    const bool nmi_blocked = !state_.vmcs12.has(PinControl::virtual_nmis) && blocks_nmis();
    if (apic.nmi_pending != 0 && exits_for_nmis() && !nmi_blocked) return ForL1::nmi;
    return exits_for_interrupts() && vcpu_.interrupt_waits() ? ForL1::interrupt : ForL1::nothing;
}

/// The entry of L2 comes first, if L1 has just asked for it, and so does the end of a delivery that
/// is to begin again, and of what blocks events: then the event takes L2 out at its first boundary.
void Nested::leave_for_events() {
    leaves_soon_ = false;
    if (!in_l2()) return;
    vcpu_.apic_.catch_up();
    const ForL1 event = event_for_l1();
    if (event == ForL1::nothing) return;
    const bool blockable = event == ForL1::nmi || event == ForL1::interrupt;
    const bool blocked =
        vcpu_.interruptibility().has_any({Interruptibility::sti, Interruptibility::mov_ss});
    const bool waits = entering() || vcpu_.pending_.valid() || (blockable && blocked);
    leaves_soon_ = event != ForL1::start_up && waits;
    if (!leaves_soon_) leave_for(event);
}

void Nested::leave_for(ForL1 event) {
    Vcpu& v = vcpu_;
    constexpr std::array reasons{BasicReason::startup_ipi, BasicReason::init_signal,
                                 BasicReason::monitor_trap_flag, BasicReason::exception_or_nmi,
                                 BasicReason::external_interrupt};
    L1Exit to = synthesized(reasons[static_cast<size_t>(event) - 1]);
    switch (event) {
        case ForL1::start_up:
            v.port_.vmwrite(F::guest_activity_state,
                            static_cast<u32>(ActivityState::wait_for_sipi));
            to.qualification = v.apic_.take_start_up();
            break;
        case ForL1::init: v.apic_.drop_init(); break;
        case ForL1::nmi:
            v.apic_.set_nmi_pending(false);
            to.interruption = InterruptionInformation::nmi();
            break;
        case ForL1::interrupt:
            if (state_.vmcs12.has(ExitControl::acknowledge_interrupt_on_exit))
                to.interruption = InterruptionInformation::external(v.take_interrupt());
            break;
        case ForL1::trap:
        case ForL1::nothing: break;
    }
    static_cast<void>(leave(to));
}

}  // namespace postern::hv
