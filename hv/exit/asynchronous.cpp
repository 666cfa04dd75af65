// SPDX-License-Identifier: Apache-2.0
// Exits that no instruction asked for: interrupts, windows, the timer.
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

}  // namespace postern::hv
