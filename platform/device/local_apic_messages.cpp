// SPDX-License-Identifier: Apache-2.0
// Messages that a local APIC sends and receives. SDM 3A, "Issuing Interprocessor Interrupts".
#include "arch/apic.h"
#include "platform/device/apic_network.h"
#include "platform/device/local_apic.h"

namespace postern::platform {

namespace {

using namespace apic;

}  // namespace

bool LocalApic::is_addressed(const ApicMessage& message) const {
    return apic::is_addressed(
        message, {state_.id, state_.logical_destination, state_.destination_format, x2apic()});
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

void LocalApic::send(u64 word) {
    state_.interrupt_command = word & ~command_status;
    const Command command = command_of(word, x2apic());
    const ApicMessage& message = command.message;
    if (command.fixed && message.vector < 16) return raise_error(send_illegal_vector);
    if (command.nothing) return;
    switch (command.shorthand) {
        case Shorthand::none: return deliver(message);
        case Shorthand::self:
            if (command.fixed) receive(message);
            return;
        case Shorthand::all:
            if (command.fixed)
                deliver(
                    {ApicMessage::everybody, false, false, DeliveryMode::fixed, message.vector});
            return;
        case Shorthand::all_but_self:
            if (network_ != nullptr) network_->deliver_to_all_but(*this, message);
            return;
    }
}

}  // namespace postern::platform
