// SPDX-License-Identifier: Apache-2.0
// Exits that the manual rules out, and those we do not implement. Nothing here is skipped, and
// what CPL 3 could cause does not stop the guest.
#include "hv/exit/handlers.h"

namespace postern::hv {
namespace {

Next stop_corrupt(Exit& exit) {
    return exit.stop(StopReason::reserved_exit_reason, "an exit reason that no exit has");
}

}  // namespace

Next on_corrupt(NormalExit& exit) {
    exit.report(Anomaly::reserved_reason);
    return exit.cpl() == 3 ? exit.fault(Vector::invalid_opcode) : stop_corrupt(exit);
}

Next corrupt_from_enclave(EnclaveExit& exit) {
    exit.report(Anomaly::reserved_reason);
    return exit.undefined();
}

Next corrupt_in_delivery(EnclaveDelivery& exit) {
    exit.report(Anomaly::reserved_reason);
    return exit.redeliver();
}

Next never_from_enclave_ud(EnclaveExit& exit) {
    exit.report(Anomaly::reason_impossible_from_enclave);
    return exit.undefined();
}

Next never_from_enclave_gp(EnclaveExit& exit) {
    exit.report(Anomaly::reason_impossible_from_enclave);
    return exit.fault(Vector::general_protection);
}

Next never_from_enclave_event(EnclaveExit& exit) {
    exit.report(Anomaly::reason_impossible_from_enclave);
    return exit.retry();
}

Next never_in_delivery(EnclaveDelivery& exit) {
    exit.report(Anomaly::reason_impossible_in_delivery);
    return exit.redeliver();
}

Next on_unimplemented_event(NormalExit& exit) {
    return exit.not_implemented("this event's VM exit");
}

Next on_enclave_unimplemented_event(EnclaveExit& exit) {
    return exit.not_implemented("this event's VM exit");
}

Next on_delivery_unimplemented(EnclaveDelivery& exit) {
    return exit.not_implemented("this VM exit while an event is delivered");
}

Next on_unimplemented(NormalExit& exit) {
    if (exit.cpl() == 3) return exit.fault(Vector::invalid_opcode);
    return exit.not_implemented("the instruction of this VM exit");
}

}  // namespace postern::hv
