// SPDX-License-Identifier: Apache-2.0
// Exits that no instruction asked for: interrupts, windows, the timer.
#include "hv/apic/virtual_apic.h"
#include "hv/exit/handlers.h"

namespace postern::hv {
namespace {

void close_window(Exit& exit) {
    exit.drop(exit.basic() == BasicReason::nmi_window ? PrimaryControl::nmi_window_exiting
                                                      : PrimaryControl::interrupt_window_exiting);
}

}  // namespace

/// External interrupts are the host's; the rest is bookkeeping the processor has done.
Next on_acknowledged(NormalExit& exit) { return exit.acknowledge(); }
Next on_enclave_acknowledged(EnclaveExit& exit) { return exit.retry(); }
Next on_delivery_acknowledged(EnclaveDelivery& exit) { return exit.redeliver(); }

Next on_window(NormalExit& exit) {
    close_window(exit);
    return exit.acknowledge();
}

Next on_enclave_window(EnclaveExit& exit) {
    close_window(exit);
    return exit.retry();
}

/// The period starts again only when it has run out: other exits save what is left of it.
Next on_preemption_timer(NormalExit& exit) {
    exit.rearm_preemption_timer();
    return exit.acknowledge();
}

Next on_enclave_preemption_timer(EnclaveExit& exit) {
    exit.rearm_preemption_timer();
    return exit.retry();
}

/// An access to the local APIC that the processor does not carry out on the page. SDM 3C, table
/// "Exit Qualification for APIC-Access VM Exits from Linear Accesses and Guest-Physical Accesses".
Next on_apic_access(NormalExit& exit) {
    const auto access = ApicAccess::from_raw(exit.qualification());
    if (exit.delivering())
        return exit.stop(StopReason::delivery_onto_device, "an event's delivery met a device");
    if (access.type() != ApicAccessType::linear_read &&
        access.type() != ApicAccessType::linear_write) {
        if (exit.cpl() == 3) return exit.fault(Vector::invalid_opcode);
        return exit.not_implemented("this access to the local APIC");
    }
    return exit.emulate(Gpa{apic_base_reset_address + access.offset()});
}

/// The guest has written to the page; SDM 3C, "APIC-Write VM Exits". The instruction is done.
Next on_apic_write(NormalExit& exit) {
    exit.apic().written(static_cast<u32>(exit.qualification() & 0xfff));
    return exit.acknowledge();
}

/// The interrupt is no longer in service: only the I/O APICs do not know yet. SDM 3C, "EOI
/// Virtualization".
Next on_virtualized_eoi(NormalExit& exit) {
    exit.apic().ended(static_cast<u8>(exit.qualification()));
    return exit.acknowledge();
}

}  // namespace postern::hv
