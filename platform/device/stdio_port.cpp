// SPDX-License-Identifier: Apache-2.0
// The registers: data at offset 0, standard error at 1, the count of input at 4.
#include "platform/device/stdio_port.h"

namespace postern::platform {

namespace {

enum Register : u16 { data = 0, error_data = 1, input_count = 4 };

}  // namespace

u32 StdioPort::port_read(u16 offset, unsigned size) {
    if (offset == data && size == 1) return streams_->take();
    if (offset == input_count && size == 4) return streams_->available();
    return static_cast<u32>(all_ones(size));
}

void StdioPort::port_write(u16 offset, unsigned size, u32 value) {
    if (size != 1) return;
    if (offset == data) streams_->output(static_cast<u8>(value));
    if (offset == error_data) streams_->error(static_cast<u8>(value));
}

}  // namespace postern::platform
