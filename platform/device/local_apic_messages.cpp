// SPDX-License-Identifier: Apache-2.0
// Messages that a local APIC sends and receives. SDM 3A, "Issuing Interprocessor Interrupts".
#include "platform/device/apic_network.h"
#include "platform/device/local_apic.h"

namespace postern::platform {

namespace {

constexpr u64 command_status = 1u << 12;      // of delivery: always idle
constexpr u32 send_illegal_vector = 1u << 5;  // SDM 3A, "Error Handling"

}  // namespace

/// SDM 3A, "Determining IPI Destination". An x2APIC has its logical ID from its ID.
bool LocalApic::is_addressed(const ApicMessage& message) const {
    const u32 destination = message.destination;
    if (destination == ApicMessage::everybody) return true;
    if (!message.logical) return destination == state_.id;
    if (x2apic())
        return destination >> 16 == state_.id >> 4 && (destination >> (state_.id & 15) & 1) != 0;
    const u32 own = state_.logical_destination >> 24;
    const bool flat = state_.destination_format >> 28 == 0xf;
    if (flat || destination > 0xff) return destination <= 0xff && (own & destination) != 0;
    const u32 cluster = destination >> 4;
    return (cluster == 0xf || cluster == own >> 4) && (own & destination & 0xf) != 0;
}

/// One that does not wait for it ignores it; an INIT on its way makes it wait. SDM 3A, "MP
/// Initialization Protocol Algorithm".
void LocalApic::start_up(u8 vector) {
    cpu::EventState& event = processor_->event;
    const bool root = processor_->vmx.on && !processor_->vmx.non_root;
    const bool will_wait = event.init_pending && !root;
    if (event.activity != ActivityState::wait_for_sipi && !will_wait) return;
    if (event.sipi_pending) return;
    event.sipi_pending = true;
    event.sipi_vector = vector;
}

bool LocalApic::receive(const ApicMessage& message) {
    if (!globally_enabled()) return false;
    switch (message.mode) {
        case DeliveryMode::fixed:
        case DeliveryMode::lowest_priority:
            if (!enabled()) return false;
            accept(message.vector, message.level);
            return true;
        case DeliveryMode::nmi: processor_->event.nmi_pending = true; return true;
        case DeliveryMode::init: processor_->event.init_pending = true; return true;
        case DeliveryMode::start_up: start_up(message.vector); return true;
        case DeliveryMode::external: state_.external_requested = 1; return true;
        case DeliveryMode::smi:
        case DeliveryMode::remote_read: break;  // neither exists here
    }
    return false;
}

void LocalApic::deliver(const ApicMessage& message) {
    if (network_ != nullptr)
        network_->deliver(message);
    else if (is_addressed(message))
        receive(message);
}

/// SDM 3A, "Interrupt Command Register (ICR)". IPIs are edges.
void LocalApic::send(u64 command) {
    enum Shorthand : u32 { none, self, all, all_but_self };
    constexpr u64 assert_level = 1u << 14;
    constexpr u64 level_triggered = 1u << 15;
    state_.interrupt_command = command & ~command_status;
    const auto mode = static_cast<DeliveryMode>(command >> 8 & 7);
    const bool fixed = mode == DeliveryMode::fixed || mode == DeliveryMode::lowest_priority;
    const auto vector = static_cast<u8>(command);
    if (fixed && vector < 16) return raise_error(send_illegal_vector);
    // The de-assertion of INIT only told old processors their arbitration IDs.
    if (mode == DeliveryMode::init && (command & level_triggered) != 0 &&
        (command & assert_level) == 0)
        return;
    const bool logical = (command >> 11 & 1) != 0;
    const auto high = static_cast<u32>(command >> 32);
    const u32 destination =
        x2apic() ? high : ApicMessage::widened(static_cast<u8>(high >> 24), logical);
    const ApicMessage message{destination, logical, false, mode, vector};
    switch (static_cast<Shorthand>(command >> 18 & 3)) {
        case none: return deliver(message);
        case self:
            if (fixed) receive(message);
            return;
        case all:
            if (fixed) deliver({ApicMessage::everybody, false, false, DeliveryMode::fixed, vector});
            return;
        case all_but_self:
            if (network_ != nullptr) network_->deliver_to_all_but(*this, message);
            return;
    }
}

}  // namespace postern::platform
