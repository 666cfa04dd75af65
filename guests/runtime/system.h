// SPDX-License-Identifier: Apache-2.0
// What the runtime asks of the kernel.
#pragma once

#include "guests/abi.h"
#include "guests/text.h"

namespace postern::guests {

extern "C" void system_call(Call call, u64 first = 0, u64 second = 0);

void print(Line& line);
inline void print(Line&& line) { print(line); }
void print(const char* text);

[[noreturn]] void leave(ExitCode code);

/// From now on a fault of this program calls `handler`, which finds the registers in
/// shared().signal and may change them; then the program goes on. None: a fault ends it.
using SignalHandler = void();
void set_signal_handler(SignalHandler* handler);

}  // namespace postern::guests
