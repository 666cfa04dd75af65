// SPDX-License-Identifier: Apache-2.0
// The devices of the platform as the hypervisor asks for them.
#pragma once

#include "hv/port.h"
#include "platform/bus.h"

namespace postern::host {

class BusDevices final : public hv::Devices {
public:
    explicit BusDevices(platform::Bus& bus) : bus_{&bus} {}

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

    void end_of_interrupt(u8) override {}
    u8 acknowledge_external() override { return 0xff; }

private:
    platform::Bus* bus_;
};

}  // namespace postern::host
