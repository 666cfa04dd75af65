// SPDX-License-Identifier: Apache-2.0
// What the small devices do with a byte.
#include "platform/device/ports.h"

namespace postern::platform {

void ExitPort::port_write(u16, unsigned, u32 value) {
    bus_->request_stop({StopKind::exit_port, value});
}

void MarkPort::port_write(u16, unsigned, u32 value) {
    if (observer_) observer_(value);
}

u32 MarkPort::port_read(u16, unsigned) { return answer_; }

u32 DebugPort::port_read(u16, unsigned) { return port; }
void DebugPort::port_write(u16, unsigned, u32 value) { sink_->put(static_cast<u8>(value)); }

u32 PostPort::port_read(u16, unsigned) { return state_.last; }
void PostPort::port_write(u16, unsigned, u32 value) { state_.last = value; }

u32 ResetPort::port_read(u16, unsigned) { return state_.control; }

void ResetPort::port_write(u16, unsigned, u32 value) {
    constexpr u8 reset = 4;
    const auto written = static_cast<u8>(value);
    if ((written & ~state_.control & reset) != 0) bus_->request_stop({StopKind::reset, 0});
    state_.control = written;
}

}  // namespace postern::platform
