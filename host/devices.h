// SPDX-License-Identifier: Apache-2.0
// Between a guest's devices and its hypervisor: accesses and ends of interrupts go one way,
// interrupts the other.
#pragma once

#include "hv/port.h"
#include "hv/vm.h"
#include "platform/bus.h"
#include "platform/pc_devices.h"

namespace postern::host {

/// The devices as the hypervisor asks for them.
class BusDevices final : public hv::Devices {
public:
    explicit BusDevices(platform::Bus& bus) : bus_{&bus} {}
    void connect(platform::PcDevices& pc) { pc_ = &pc; }

    bool mmio_read(Gpa address, unsigned size, u64& value) override {
        return bus_->try_read(address.raw(), size, value);
    }
    bool mmio_write(Gpa address, unsigned size, u64 value) override {
        return bus_->try_write(address.raw(), size, value);
    }
    bool port_read(u16 port, unsigned size, u32& value) override {
        return bus_->try_in(port, size, value);
    }
    bool port_write(u16 port, unsigned size, u32 value) override {
        return bus_->try_out(port, size, value);
    }

    void end_of_interrupt(u8 vector) override { pc_->network.broadcast_end(vector); }
    u8 acknowledge_external() override { return pc_->pic.acknowledge(); }

private:
    platform::Bus* bus_;
    platform::PcDevices* pc_ = nullptr;
};

/// The hypervisor as the devices tell it of their interrupts; before there is one, nobody hears.
class VmInterrupts final : public platform::ApicNetwork::Receiver, public platform::Pic::Output {
public:
    void connect(hv::Vm& vm) { vm_ = &vm; }

    bool receive(const ApicMessage& message) override {
        return vm_ != nullptr && vm_->deliver(message);
    }
    void set_external(bool level) override {
        if (vm_ != nullptr) vm_->set_external(level);
    }

private:
    hv::Vm* vm_ = nullptr;
};

}  // namespace postern::host
