// SPDX-License-Identifier: Apache-2.0
// What follows an instruction that did not complete.
#include "cpu/debugger.h"
#include "cpu/event/deliver.h"

namespace postern::cpu {

namespace {

/// Exits that an access causes rather than the instruction: RF is saved as for a fault, in the
/// VMCS as in an enclave's SSA. SDM 3C, "Saving RIP, RSP, RFLAGS, and SSP".
bool is_access_exit(BasicReason reason) {
    switch (reason) {
        case BasicReason::apic_access:
        case BasicReason::ept_violation:
        case BasicReason::ept_misconfiguration:
        case BasicReason::page_modification_log_full:
        case BasicReason::spp_related_event: return true;
        default: return false;
    }
}

/// Bit 12 of the qualification: only these have it. SDM 3C, "Exit Qualification".
bool reports_nmi_unblocking(BasicReason reason) {
    return reason == BasicReason::ept_violation ||
           reason == BasicReason::page_modification_log_full ||
           reason == BasicReason::spp_related_event;
}

Delivery take_exit(Cpu& c) {
    const Pending p = c.pending;
    const bool access = is_access_exit(p.reason);
    vmx::Exit x{.reason = p.reason,
                .qualification = p.qualification,
                .guest_linear = p.guest_linear,
                .guest_physical = p.guest_physical,
                .instruction_length = p.instruction_length,
                .instruction_information = p.instruction_information,
                .sets_rf = access};
    if (p.nmi_unblocked && reports_nmi_unblocking(p.reason)) x.qualification |= u64{1} << 12;
    return leave_guest(c, x, {.fault_like = access, .access_exit = access});
}

}  // namespace

Delivery take_pending(Cpu& c) {
    switch (c.pending.kind) {
        case PendingKind::none: return Delivery::nothing;
        case PendingKind::unimplemented: return Delivery::unimplemented;
        case PendingKind::vm_exit: return take_exit(c);
        case PendingKind::exception: return happen(c, pending_event(c));
        case PendingKind::debugger: restore_pending(c); return Delivery::breakpoint;
    }
    return Delivery::nothing;
}

}  // namespace postern::cpu
