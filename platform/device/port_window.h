// SPDX-License-Identifier: Apache-2.0
// One of several port ranges of a chip. The chip hears absolute port numbers, so that ranges
// far apart do not get mixed up.
#pragma once

#include "platform/bus.h"

namespace postern::platform {

/// The owner has read_port(port, size) and write_port(port, size, value), and outlives the window.
template <class Owner>
class PortWindow final : public Device {
public:
    PortWindow(Owner& owner, PortRange range) : owner_{&owner}, range_{range} {}

    [[nodiscard]] std::span<const PortRange> ports() const override { return {&range_, 1}; }
    u32 port_read(u16 offset, unsigned size) override {
        return owner_->read_port(static_cast<u16>(range_.first + offset), size);
    }
    void port_write(u16 offset, unsigned size, u32 value) override {
        owner_->write_port(static_cast<u16>(range_.first + offset), size, value);
    }

private:
    Owner* owner_;
    PortRange range_;
};

}  // namespace postern::platform
