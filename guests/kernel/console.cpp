// SPDX-License-Identifier: Apache-2.0
// A polled 16550 at its usual place; no interrupts.
#include "guests/kernel/console.h"

#include "guests/kernel/processor.h"

namespace postern::guests {
namespace {

constexpr u16 interrupt_enable = serial_port + 1;
constexpr u16 fifo_control = serial_port + 2;
constexpr u16 line_control = serial_port + 3;
constexpr u16 modem_control = serial_port + 4;
constexpr u16 line_status = serial_port + 5;

constexpr u8 divisor_latch_access = 0x80;
constexpr u8 eight_bits_no_parity = 0x03;
constexpr u8 enable_and_clear_fifo = 0x07;
constexpr u8 dtr_and_rts = 0x03;
constexpr u8 transmitter_holding_empty = 0x20;

// A port that never becomes ready must not stop the guest: the byte is written all the same.
constexpr u32 polls_per_byte = 100'000;

void write_byte(u8 byte) {
    for (u32 i = 0; i < polls_per_byte; ++i)
        if ((in_byte(line_status) & transmitter_holding_empty) != 0) break;
    out_byte(serial_port, byte);
}

}  // namespace

void start_serial_port() {
    out_byte(interrupt_enable, 0);
    out_byte(line_control, divisor_latch_access | eight_bits_no_parity);
    out_byte(serial_port, 1);  // divisor 1: 115200 baud
    out_byte(interrupt_enable, 0);
    out_byte(line_control, eight_bits_no_parity);
    out_byte(fifo_control, enable_and_clear_fifo);
    out_byte(modem_control, dtr_and_rts);
}

void write_serial(const char* text, u64 length) {
    for (u64 i = 0; i < length; ++i) write_byte(static_cast<u8>(text[i]));
}

void print(Line& line) {
    line << "\n";
    write_serial(line.text(), line.length());
}

void end(ExitCode code) {
    out_dword(exit_port, static_cast<u32>(code));
    for (;;) asm volatile("cli\n hlt");
}

void fail(Line& line, ExitCode code) {
    write_serial("kernel: ", 8);
    print(line);
    end(code);
}

}  // namespace postern::guests
