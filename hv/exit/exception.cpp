// SPDX-License-Identifier: Apache-2.0
// Exceptions, NMIs and triple faults.
#include "hv/exit/handlers.h"

namespace postern::hv {
namespace {

bool is_nmi(const Exit& exit) { return exit.interruption().type() == InterruptionType::nmi; }

Next triple_fault(Exit& exit) {
    ++exit.counters().triple_faults;
    return exit.stop(StopReason::triple_fault);
}

}  // namespace

/// An NMI is the host's: the processor has taken it. SDM 3C, "Basic VM-Exit Information".
Next on_exception(NormalExit& exit) { return is_nmi(exit) ? exit.acknowledge() : exit.reinject(); }

Next on_enclave_exception(EnclaveExit& exit) {
    return is_nmi(exit) ? exit.retry() : exit.deliver();
}

Next on_delivery_exception(EnclaveDelivery& exit) {
    return is_nmi(exit) ? exit.redeliver() : exit.deliver();
}

/// The guest has shut down. SDM 3A, "Interrupt 8: Double Fault Exception (#DF)".
Next on_triple_fault(NormalExit& exit) { return triple_fault(exit); }
Next on_enclave_triple_fault(EnclaveExit& exit) { return triple_fault(exit); }
Next on_delivery_triple_fault(EnclaveDelivery& exit) { return triple_fault(exit); }

}  // namespace postern::hv
