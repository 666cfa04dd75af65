// SPDX-License-Identifier: Apache-2.0
// What the kernel tells a process of an exception: its signal's frame has the vector, the error
// code, CR2 and all registers.
#include "guests/linux_scenarios/events.h"

#include <signal.h>
#include <ucontext.h>

#include <initializer_list>

#include "guests/every_exit/event_log.h"
#include "guests/linux_scenarios/machine.h"
#include "guests/linux_scenarios/system.h"

namespace postern::guests {
namespace {

constexpr u64 page_fault = 14;
constexpr u64 rflags_tf = 1 << 8;

EventRecorder recorder;
SignalHandler* handler;

Registers registers_of(const greg_t* from) {
    const auto at = [&](int index) { return static_cast<u64>(from[index]); };
    Registers registers{};
    registers.r15 = at(REG_R15);
    registers.r14 = at(REG_R14);
    registers.r13 = at(REG_R13);
    registers.r12 = at(REG_R12);
    registers.r11 = at(REG_R11);
    registers.r10 = at(REG_R10);
    registers.r9 = at(REG_R9);
    registers.r8 = at(REG_R8);
    registers.rbp = at(REG_RBP);
    registers.rdi = at(REG_RDI);
    registers.rsi = at(REG_RSI);
    registers.rdx = at(REG_RDX);
    registers.rcx = at(REG_RCX);
    registers.rbx = at(REG_RBX);
    registers.rax = at(REG_RAX);
    registers.vector = at(REG_TRAPNO);
    registers.error_code = at(REG_ERR);
    registers.rip = at(REG_RIP);
    registers.cs = at(REG_CSGSFS) & 0xffff;
    registers.rflags = at(REG_EFL);
    registers.rsp = at(REG_RSP);
    return registers;
}

void record(const Registers& registers, u64 cr2, const _libc_fpstate& state) {
    EventLog& log = orders().events;
    recorder.judge(log, registers);
    for (const _libc_xmmreg& xmm : state._xmm)
        for (const u32 element : xmm.element)
            if (element != 0) log.vectors_clear = 0;
    if (!EventRecorder::count(log, registers)) return;
    log.mxcsr = state.mxcsr;
    if (registers.vector == page_fault) log.cr2 = cr2;
}

void on_signal(int, siginfo_t*, void* frame) {
    mcontext_t& context = static_cast<ucontext_t*>(frame)->uc_mcontext;
    Registers& registers = shared().signal;
    registers = registers_of(context.gregs);
    record(registers, static_cast<u64>(context.gregs[REG_CR2]), *context.fpregs);
    handler();
    context.gregs[REG_RIP] = static_cast<greg_t>(registers.rip);
    context.gregs[REG_EFL] &= ~static_cast<greg_t>(rflags_tf);
}

}  // namespace

void watch(u64 aep, u64 tcs) { recorder.watch(orders().events, aep, tcs); }

void set_signal_handler(SignalHandler* new_handler) {
    handler = new_handler;
    struct sigaction action{};
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO;
    for (const int number : {SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGTRAP})
        if (sigaction(number, &action, nullptr) != 0) fail("sigaction");
}

}  // namespace postern::guests
