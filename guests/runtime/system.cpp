// SPDX-License-Identifier: Apache-2.0
// Text, the end, and signals, by int 80H.
#include "guests/runtime/system.h"

namespace postern::guests {
namespace {

SignalHandler* current_handler;

// Apart from the stack below, which an interrupted enclave call may be using.
alignas(16) u8 signal_stack[8192];

[[noreturn]] void on_signal() {
    current_handler();
    system_call(Call::return_from_signal);
    __builtin_trap();
}

}  // namespace

void print(Line& line) {
    line << "\n";
    system_call(Call::write, reinterpret_cast<u64>(line.text()), line.length());
}

void print(const char* text) { print(Line{} << text); }

void leave(ExitCode code) {
    system_call(Call::exit, static_cast<u64>(code));
    __builtin_trap();
}

void set_signal_handler(SignalHandler* handler) {
    current_handler = handler;
    // The stack of a function that was called, not jumped to.
    const u64 stack = reinterpret_cast<u64>(signal_stack + sizeof signal_stack - 8);
    system_call(Call::set_signal_handler, handler != nullptr ? reinterpret_cast<u64>(on_signal) : 0,
                stack);
}

}  // namespace postern::guests
