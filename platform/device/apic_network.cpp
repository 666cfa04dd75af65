// SPDX-License-Identifier: Apache-2.0
// Destinations. SDM 3A, "Determining IPI Destination" and "Message Address Register Format".
#include "platform/device/apic_network.h"

#include "platform/device/local_apic.h"

namespace postern::platform {

/// The manual leaves the choice among equals open: the lowest number has it, so that a run can
/// be repeated.
LocalApic* ApicNetwork::least_busy(const ApicMessage& message) const {
    LocalApic* best = nullptr;
    for (LocalApic* const apic : apics_) {
        if (!apic->is_addressed(message) || !apic->accepts_fixed()) continue;
        if (best == nullptr || apic->processor_priority() < best->processor_priority()) best = apic;
    }
    return best;
}

bool ApicNetwork::deliver(const ApicMessage& message) {
    if (receiver_ != nullptr) return receiver_->receive(message);
    if (message.mode == DeliveryMode::lowest_priority) {
        LocalApic* const apic = least_busy(message);
        return apic != nullptr && apic->receive(message);
    }
    bool taken = false;
    for (LocalApic* const apic : apics_)
        if (apic->is_addressed(message)) taken = apic->receive(message) || taken;
    return taken;
}

void ApicNetwork::deliver_to_all_but(const LocalApic& sender, const ApicMessage& message) {
    for (LocalApic* const apic : apics_)
        if (apic != &sender) apic->receive(message);
}

bool ApicNetwork::deliver_msi(u64 address, u32 data) {
    // The manual ignores DM without RH ("Message Address Register Format"); chipsets do not, and
    // Linux sends logical destinations that way.
    const bool logical = (address >> 2 & 1) != 0;
    const auto destination = static_cast<u8>(address >> 12);
    return deliver({ApicMessage::widened(destination, logical), logical, (data >> 15 & 1) != 0,
                    static_cast<DeliveryMode>(data >> 8 & 7), static_cast<u8>(data)});
}

void ApicNetwork::broadcast_end(u8 vector) {
    if (listener_ != nullptr) listener_->end_of_interrupt(vector);
}

u64 ApicPage::mmio_read(u64 offset, unsigned size) {
    const bool here = apic_ != nullptr && apic_->base() == range.first;
    return here ? apic_->mmio_read(offset, size) : all_ones(size);
}

void ApicPage::mmio_write(u64 offset, unsigned size, u64 value) {
    if (apic_ != nullptr && apic_->base() == range.first) apic_->mmio_write(offset, size, value);
}

LocalApic* ApicPage::moved_to(u64 address) const {
    if (apic_ == nullptr || apic_->base() == range.first) return nullptr;
    return address - apic_->base() < page_size ? apic_ : nullptr;
}

}  // namespace postern::platform
