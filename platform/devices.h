// SPDX-License-Identifier: Apache-2.0
// The devices every PC of ours has, on one bus.
#pragma once

#include "platform/bus.h"
#include "platform/device/doorbell.h"
#include "platform/device/ports.h"
#include "platform/device/serial.h"

namespace postern::platform {

class Devices {
public:
    /// The sinks must outlive the devices. `on_mark` hears of writes to the mark port.
    Devices(Sink& serial_sink, Sink& debug_sink, MarkPort::Observer on_mark)
        : serial{serial_sink}, exit_port{bus}, mark_port{std::move(on_mark)},
          debug_port{debug_sink}, reset_port{bus} {
        for (Device* const device : std::initializer_list<Device*>{
                 &serial, &exit_port, &mark_port, &debug_port, &post_port, &reset_port, &doorbell})
            complete = bus.attach(*device) && complete;
    }
    Devices(const Devices&) = delete;
    Devices& operator=(const Devices&) = delete;

    Bus bus;
    Serial serial;
    ExitPort exit_port;
    MarkPort mark_port;
    DebugPort debug_port;
    PostPort post_port;
    ResetPort reset_port;
    Doorbell doorbell;
    bool complete = true;  // false: two of them claim the same range
};

}  // namespace postern::platform
