// SPDX-License-Identifier: Apache-2.0
// The serial port, the exit port, and the mark port.
#pragma once

#include "guests/abi.h"
#include "guests/text.h"

namespace postern::guests {

void start_serial_port();
void write_serial(const char* text, u64 length);
void print(Line& line);
inline void print(Line&& line) { print(line); }

/// Ends the machine; halts for ever where there is no exit port.
[[noreturn]] void end(ExitCode code);

/// One line that says what is wrong, then the end.
[[noreturn]] void fail(Line& line, ExitCode code = ExitCode::kernel_failed);
[[noreturn]] inline void fail(Line&& line, ExitCode code = ExitCode::kernel_failed) {
    fail(line, code);
}

}  // namespace postern::guests
