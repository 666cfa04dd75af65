// SPDX-License-Identifier: Apache-2.0
// The registers of a 16550A. National Semiconductor, PC16550D data sheet, "Registers".
#include "platform/device/serial.h"

#include <algorithm>

namespace postern::platform {

namespace {

enum Register : u16 {
    data,                   // RBR, THR; DLL with DLAB
    interrupt_enable,       // IER; DLM with DLAB
    identification,         // IIR, FCR
    line_control,           // LCR
    modem_control,          // MCR
    line_status,            // LSR
    modem_status_register,  // MSR
    scratch,                // SCR
};

enum InterruptEnable : u8 { enable_received = 1, enable_transmitter = 2, enable_line = 4 };

enum Identification : u8 {
    no_interrupt = 1,
    transmitter_empty = 2,
    received_data = 4,
    line_error = 6,
    data_timeout = 0xc,
    fifos_enabled = 0xc0,
};

enum LineStatus : u8 { data_ready = 1, overrun_error = 2, transmitter_idle = 0x60 };

constexpr u8 loopback = 0x10;
constexpr u8 out2 = 8;  // a PC's gate to the interrupt line
constexpr u8 carrier_data_set_clear_to_send = 0xb0;

}  // namespace

u8 Serial::take() {
    if (state_.fifo_count == 0) return 0;
    const u8 byte = state_.fifo[state_.fifo_first];
    state_.fifo_first = static_cast<u8>((state_.fifo_first + 1) % fifo_size);
    --state_.fifo_count;
    restart_timeout();
    return byte;
}

u64 Serial::character_time() const {
    const unsigned control = state_.line_control;
    const u64 bits = 1 + 5 + (control & 3) + (control >> 3 & 1) + 1 + (control >> 2 & 1);
    const u64 divisor = std::max<u64>(1, u64{state_.divisor_high} << 8 | state_.divisor_low);
    return bits * divisor * 78'125 / 9;  // nanoseconds, of 115200 bits a second
}

/// PC16550D data sheet, "FIFO Interrupt Mode Operation": after four characters' time without any.
void Serial::restart_timeout() {
    state_.timed_out = 0;
    const bool waits = state_.fifo_enabled != 0 && state_.fifo_count != 0;
    state_.timeout_due =
        wiring_.clock != nullptr && waits ? wiring_.clock->now() + 4 * character_time() : never;
}

void Serial::advance(u64 now) {
    if (now < state_.timeout_due) return;
    state_.timeout_due = never;
    state_.timed_out = 1;
    update_line();
}

void Serial::update_line() {
    const bool gated = (state_.modem_control & (out2 | loopback)) == out2;
    if (wiring_.lines != nullptr) wiring_.lines->set(wiring_.line, gated && interrupt());
}

void Serial::receive(u8 byte) {
    const unsigned room = state_.fifo_enabled != 0 ? fifo_size : 1;
    if (state_.fifo_count >= room) {
        state_.overrun = 1;
        return update_line();
    }
    state_.fifo[(state_.fifo_first + state_.fifo_count) % fifo_size] = byte;
    ++state_.fifo_count;
    restart_timeout();
    update_line();
}

void Serial::transmit(u8 byte) {
    if ((state_.modem_control & loopback) != 0)
        receive(byte);
    else
        sink_->put(byte);
    state_.transmitter_empty_pending = 1;
}

u8 Serial::interrupt_identification() const {
    if ((state_.interrupt_enable & enable_line) != 0 && state_.overrun != 0) return line_error;
    const unsigned trigger = state_.fifo_enabled != 0 ? state_.fifo_trigger : 1;
    const bool received = state_.fifo_count >= trigger;
    if ((state_.interrupt_enable & enable_received) != 0) {
        if (received) return received_data;
        if (state_.timed_out != 0) return data_timeout;
    }
    const bool empty = state_.transmitter_empty_pending != 0;
    if ((state_.interrupt_enable & enable_transmitter) != 0 && empty) return transmitter_empty;
    return no_interrupt;
}

bool Serial::interrupt() const { return interrupt_identification() != no_interrupt; }

u8 Serial::read_identification() {
    const u8 source = interrupt_identification();
    if (source == transmitter_empty) state_.transmitter_empty_pending = 0;
    return static_cast<u8>(source | (state_.fifo_enabled != 0 ? fifos_enabled : 0));
}

u8 Serial::read_line_status() {
    unsigned status = transmitter_idle;
    if (state_.fifo_count != 0) status |= data_ready;
    if (state_.overrun != 0) status |= overrun_error;
    state_.overrun = 0;
    return static_cast<u8>(status);
}

u8 Serial::modem_status() const {
    const unsigned control = state_.modem_control;
    if ((control & loopback) == 0) return carrier_data_set_clear_to_send;
    // In loopback RTS, DTR, OUT1, OUT2 come back as CTS, DSR, RI, DCD.
    return static_cast<u8>((control & 2) << 3 | (control & 1) << 5 | (control & 4) << 4 |
                           (control & 8) << 4);
}

void Serial::control_fifo(u8 value) {
    static constexpr std::array<u8, 4> triggers{1, 4, 8, 14};
    const u8 enable = value & 1;
    if (enable != state_.fifo_enabled || (value & 2) != 0) state_.fifo_count = 0;
    state_.fifo_enabled = enable;
    restart_timeout();
    if (enable != 0) state_.fifo_trigger = triggers[value >> 6];
}

u8 Serial::read_register(u16 offset) {
    switch (offset) {
        case data: return divisor_selected() ? state_.divisor_low : take();
        case interrupt_enable:
            return divisor_selected() ? state_.divisor_high : state_.interrupt_enable;
        case identification: return read_identification();
        case line_control: return state_.line_control;
        case modem_control: return state_.modem_control;
        case line_status: return read_line_status();
        case modem_status_register: return modem_status();
        default: return state_.scratch;
    }
}

void Serial::write_register(u16 offset, u8 value) {
    switch (offset) {
        case data:
            if (divisor_selected())
                state_.divisor_low = value;
            else
                transmit(value);
            break;
        case interrupt_enable:
            if (divisor_selected()) {
                state_.divisor_high = value;
            } else {
                // Enabling it while the transmitter is empty raises the interrupt at once.
                if ((value & ~state_.interrupt_enable & enable_transmitter) != 0)
                    state_.transmitter_empty_pending = 1;
                state_.interrupt_enable = value & 0xf;
            }
            break;
        case identification: control_fifo(value); break;
        case line_control: state_.line_control = value; break;
        case modem_control: state_.modem_control = value & 0x1f; break;
        case scratch: state_.scratch = value; break;
        default: break;  // LSR and MSR are read-only
    }
}

u32 Serial::port_read(u16 offset, unsigned size) {
    u32 value = 0;
    for (unsigned i = 0; i < size; ++i) {
        const auto at = static_cast<u16>(offset + i);
        value |= u32{at < range_.count ? read_register(at) : u8{0xff}} << (8 * i);
    }
    update_line();
    return value;
}

void Serial::port_write(u16 offset, unsigned size, u32 value) {
    for (unsigned i = 0; i < size; ++i) {
        const auto at = static_cast<u16>(offset + i);
        if (at < range_.count) write_register(at, static_cast<u8>(value >> (8 * i)));
    }
    update_line();
}

}  // namespace postern::platform
