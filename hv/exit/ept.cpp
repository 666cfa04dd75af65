// SPDX-License-Identifier: Apache-2.0
// EPT violations and misconfigurations: memory is mapped on first touch, the rest is a device.
#include "hv/exit/handlers.h"

namespace postern::hv {
namespace {

/// Memory that mapping makes accessible; null: a device, or a write to ROM.
const MemorySlot* mappable(const Exit& exit, Gpa address, u64 qualification) {
    const MemorySlot* const slot = exit.memory().find(address);
    if (slot == nullptr || slot->kind != SlotKind::rom) return slot;
    const bool violation = exit.basic() == BasicReason::ept_violation;
    return violation && EptViolation::from_raw(qualification).write() ? nullptr : slot;
}

}  // namespace

/// SDM 3C, "EPT Violations" and "EPT Misconfigurations".
Next on_ept(NormalExit& exit) {
    const Gpa address = exit.guest_physical();
    if (const MemorySlot* const slot = mappable(exit, address, exit.qualification()))
        return exit.map(*slot, address);
    if (exit.delivering())
        return exit.stop(StopReason::delivery_onto_device, "an event's delivery met a device");
    return exit.emulate(address);
}

/// The page is all that is known, and for memory all that is needed. Which register of a device
/// was meant is not known: the guard, before anything of the device is touched.
Next on_enclave_ept(EnclaveExit& exit) {
    const Gpa page = exit.guest_physical().page();
    if (const MemorySlot* const slot = mappable(exit, page, exit.ept_violation().to_raw())) {
        ++exit.counters().ept_maps_from_enclave;
        return exit.map(*slot);
    }
    return exit.guard();
}

Next on_delivery_ept(EnclaveDelivery& exit) {
    const u64 qualification = exit.ept_violation().to_raw();
    if (const MemorySlot* const slot = mappable(exit, exit.guest_physical(), qualification))
        return exit.map(*slot);
    return exit.stop(StopReason::delivery_onto_device, "an event's delivery met a device");
}

/// A page that is neither memory nor ours to carry out from an enclave: the guard.
Next on_enclave_device(EnclaveExit& exit) { return exit.guard(); }

Next on_delivery_onto_device(EnclaveDelivery& exit) {
    return exit.stop(StopReason::delivery_onto_device, "an event's delivery met a device");
}

}  // namespace postern::hv
