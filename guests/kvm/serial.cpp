// SPDX-License-Identifier: Apache-2.0
// Registers of the 8250 (with the FIFO bits of a 16550A), and lines.
#include "serial.h"

#include <stdio.h>
#include <string.h>

namespace kvm {

u8 Serial::read(u16 port) {
    switch (port - first_port) {
        case 0: return divisor_latch() ? divisor_[0] : 0;
        case 1: return divisor_latch() ? divisor_[1] : enabled_;
        case 2: {
            const u8 fifos = (fifo_control_ & 1) != 0 ? 0xc0 : 0;
            if (!interrupts()) return fifos | 1;
            empty_pending_ = false;
            return fifos | 2;
        }
        case 3: return line_control_;
        case 4: return modem_control_;
        case 5: return 0x60;
        case 6: return (modem_control_ & 0x10) != 0 ? 0 : 0xb0;
        default: return scratch_;
    }
}

void Serial::write(u16 port, u8 value) {
    switch (port - first_port) {
        case 0:
            if (divisor_latch())
                divisor_[0] = value;
            else
                send(value);
            return;
        case 1:
            if (divisor_latch()) {
                divisor_[1] = value;
                return;
            }
            // Switching it on tells that the register is empty.
            if ((value & 2) != 0 && (enabled_ & 2) == 0) empty_pending_ = true;
            enabled_ = value & 0xf;
            return;
        case 2: fifo_control_ = value; return;
        case 3: line_control_ = value; return;
        case 4: modem_control_ = value; return;
        case 7: scratch_ = value; return;
        default: return;
    }
}

void Serial::send(u8 byte) {
    empty_pending_ = true;
    if ((modem_control_ & 0x10) != 0 || byte == '\r') return;
    const bool full = length_ == sizeof text_ - 1;
    if (byte != '\n' && !full) text_[length_++] = static_cast<char>(byte);
    if (byte != '\n' && !full) return;
    text_[length_] = 0;
    printf("guest: %s\n", text_);
    fflush(stdout);
    if (strstr(text_, wanted_) != nullptr) done_ = true;
    length_ = 0;
}

}  // namespace kvm
