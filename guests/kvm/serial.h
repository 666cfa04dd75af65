// SPDX-License-Identifier: Apache-2.0
// The 8250 of a guest: its transmitter is always ready, nothing is ever received. What the guest
// sends is printed line by line behind a prefix, and one line is waited for.
#pragma once

#include "vmm.h"

namespace kvm {

class Serial {
public:
    static constexpr u16 first_port = 0x3f8, last_port = 0x3ff;
    static constexpr u32 line = 4;

    /// `wanted`: part of the line that ends it all.
    explicit Serial(const char* wanted) : wanted_{wanted} {}

    [[nodiscard]] u8 read(u16 port);
    void write(u16 port, u8 value);

    /// The level of its interrupt line.
    [[nodiscard]] bool interrupts() const { return empty_pending_ && (enabled_ & 2) != 0; }
    [[nodiscard]] bool done() const { return done_; }

private:
    void send(u8 byte);
    [[nodiscard]] bool divisor_latch() const { return (line_control_ & 0x80) != 0; }

    const char* wanted_;
    u8 divisor_[2] = {1, 0};
    u8 enabled_ = 0;
    u8 fifo_control_ = 0;
    u8 line_control_ = 0;
    u8 modem_control_ = 0;
    u8 scratch_ = 0;
    bool empty_pending_ = false;  // "transmitter holding register empty"
    bool done_ = false;
    char text_[400] = {};
    u32 length_ = 0;
};

}  // namespace kvm
