// SPDX-License-Identifier: Apache-2.0
// Where every exception and int 80H arrives. A fault of ring 3 becomes a signal, if the runtime
// asked for one; anything else ends the machine with one line.
#include "guests/kernel/traps.h"

#include "guests/kernel/console.h"
#include "guests/kernel/processor.h"
#include "guests/kernel/sgx.h"

namespace postern::guests {
namespace {

constexpr u64 nmi = 2;
constexpr u64 double_fault = 8;
constexpr u64 machine_check = 18;
constexpr u64 system_call_vector = 0x80;

struct {
    u64 handler, stack;
    bool running;
} signals;

[[noreturn]] void give_up(const Registers& registers, const char* why) {
    Line line;
    line << "exception " << registers.vector << " (error code ";
    line.hex(registers.error_code) << ", CR2 ";
    line.hex(read_cr2()) << ") in ring " << (registers.cs & 3) << " at ";
    line.hex(registers.rip) << ", RAX " << registers.rax << ", while " << current_step() << why;
    fail(line);
}

/// Ring 3 may change what it was interrupted with, but not its privileges.
void return_from_signal(Registers& registers) {
    const u64 cs = registers.cs, ss = registers.ss, rflags = registers.rflags;
    registers = shared().signal;
    registers.cs = cs;
    registers.ss = ss;
    registers.rflags = rflags;
    signals.running = false;
}

bool is_runtime_memory(u64 address, u64 length) {
    constexpr u64 size = runtime_code_size + runtime_data_size;
    return address >= runtime_base && length <= size && address - runtime_base <= size - length;
}

void write_for_ring_3(u64 text, u64 length) {
    if (!is_runtime_memory(text, length)) fail(Line{} << "ring 3 writes text that is not its own");
    write_serial(reinterpret_cast<const char*>(text), length);
}

void serve(Registers& registers) {
    const u64 first = registers.rdi, second = registers.rsi;
    switch (static_cast<Call>(registers.rax)) {
        case Call::write: return write_for_ring_3(first, second);
        case Call::exit: end(static_cast<ExitCode>(first));
        case Call::set_signal_handler: signals = {first, second, false}; return;
        case Call::return_from_signal: return return_from_signal(registers);
        default: break;
    }
    if (serve_own_call(registers)) return;
    fail(Line{} << "ring 3 makes call " << registers.rax << ", which does not exist");
}

}  // namespace

void signal_ring_3(Registers& registers) {
    if (signals.handler == 0) give_up(registers, "; ring 3 expects no signal");
    if (signals.running) give_up(registers, "; ring 3 is handling a signal already");
    signals.running = true;
    shared().signal = registers;
    shared().cr2 = read_cr2();
    registers.rip = signals.handler;
    registers.rsp = signals.stack;
}

extern "C" void on_trap(Registers& registers) {
    if (registers.vector == system_call_vector) return serve(registers);
    if (take_own_trap(registers)) return;
    const bool is_fault = registers.vector != nmi && registers.vector != double_fault &&
                          registers.vector != machine_check;
    if (is_fault && (registers.cs & 3) == 3) return signal_ring_3(registers);
    give_up(registers, "");
}

}  // namespace postern::guests
