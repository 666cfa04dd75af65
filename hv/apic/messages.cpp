// SPDX-License-Identifier: Apache-2.0
// Messages that virtual local APICs send and receive, and who gets those of devices. SDM 3A,
// "Issuing Interprocessor Interrupts".
#include "hv/apic/virtual_apic.h"
#include "hv/vcpu.h"
#include "hv/vm.h"

namespace postern::hv {

namespace {

using namespace apic;

}  // namespace

bool VirtualApic::is_addressed(const ApicMessage& message) const {
    const u32 id = x2apic() ? state_.number : at(reg_id) >> 24;
    return apic::is_addressed(
        message, {id, at(reg_logical_destination), at(reg_destination_format), x2apic()});
}

bool VirtualApic::receive(const ApicMessage& message) {
    if (!globally_enabled()) return false;
    switch (message.mode) {
        case DeliveryMode::fixed:
        case DeliveryMode::lowest_priority:
            if (!enabled()) return false;
            request(message.vector, message.level);
            return true;
        case DeliveryMode::nmi: state_.nmi_pending = 1; return true;
        case DeliveryMode::init:
            if (state_.activity != ActivityState::wait_for_sipi) state_.init_pending = 1;
            return true;
        case DeliveryMode::start_up:
            // One that does not wait for it ignores it; an INIT on its way makes it wait.
            if (state_.activity != ActivityState::wait_for_sipi && state_.init_pending == 0)
                return true;
            if (state_.start_up_pending != 0) return true;
            state_.start_up_pending = 1;
            state_.start_up_vector = message.vector;
            return true;
        case DeliveryMode::external: state_.external_requested = 1; return true;
        case DeliveryMode::smi:
        case DeliveryMode::remote_read: break;  // neither exists here
    }
    return false;
}

/// The first processor starts anew by itself. SDM 3A, "MP Initialization Protocol Algorithm".
void VirtualApic::take_init() {
    init_reset();
    state_.init_pending = state_.nmi_pending = 0;
    state_.waiting = {};
    waiting_ = -1;
    const bool first = base().has(ApicBase::bsp);
    state_.activity = first ? ActivityState::active : ActivityState::wait_for_sipi;
    if (first) state_.start_up_pending = 0;
}

u8 VirtualApic::take_start_up() {
    state_.start_up_pending = 0;
    state_.activity = ActivityState::active;
    return static_cast<u8>(state_.start_up_vector);
}

u64 VirtualApic::command() const { return at(reg_command_low) | u64{at(reg_command_high)} << 32; }

/// In x2APIC mode the register is one of 64 bits, and the processor reads it from one place.
void VirtualApic::put_command(u64 command) {
    put(reg_command_low, static_cast<u32>(command & ~command_status));
    put(reg_command_high, static_cast<u32>(command >> 32));
    registers_[reg_command_low * 4 + 1] = x2apic() ? at(reg_command_high) : 0;
}

void VirtualApic::send(u64 word) {
    put_command(word);
    const Command command = command_of(word, x2apic());
    const ApicMessage& message = command.message;
    if (command.fixed && message.vector < 16) return raise_error(send_illegal_vector);
    if (command.nothing) return;
    switch (command.shorthand) {
        case Shorthand::none: vm_.deliver(message); return;
        case Shorthand::self:
            if (command.fixed) receive(message);
            return;
        case Shorthand::all:
            if (command.fixed)
                vm_.deliver(
                    {ApicMessage::everybody, false, false, DeliveryMode::fixed, message.vector});
            return;
        case Shorthand::all_but_self: vm_.deliver_to_all_but(state_.number, message); return;
    }
}

/// The manual leaves the choice among equals open: the lowest number has it, so that a run can
/// be repeated.
Vcpu* Vm::least_busy(const ApicMessage& message) const {
    Vcpu* best = nullptr;
    for (Vcpu* const vcpu : vcpus_) {
        if (vcpu == nullptr || !vcpu->has_apic()) continue;
        if (!vcpu->apic().is_addressed(message) || !vcpu->apic().accepts_fixed()) continue;
        if (best == nullptr ||
            vcpu->apic().processor_priority() < best->apic().processor_priority())
            best = vcpu;
    }
    return best;
}

bool Vm::deliver(const ApicMessage& message) {
    if (message.mode == DeliveryMode::lowest_priority) {
        Vcpu* const vcpu = least_busy(message);
        return vcpu != nullptr && vcpu->receive(message);
    }
    bool taken = false;
    for (Vcpu* const vcpu : vcpus_)
        if (vcpu != nullptr && vcpu->has_apic() && vcpu->apic().is_addressed(message))
            taken = vcpu->receive(message) || taken;
    return taken;
}

void Vm::deliver_to_all_but(unsigned sender, const ApicMessage& message) {
    for (unsigned number = 0; number < vcpu_limit; ++number)
        if (number != sender && vcpus_[number] != nullptr) vcpus_[number]->receive(message);
}

void Vm::set_external(bool level) {
    if (vcpus_[0] != nullptr) vcpus_[0]->set_external(level);
}

}  // namespace postern::hv
