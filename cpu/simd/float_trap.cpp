// SPDX-License-Identifier: Apache-2.0
// A thunk keeps the handler's two arguments in their registers and the stack as it was on entry
// until the guest's instruction has run. So the signal handler only has to change RIP.
#include "cpu/simd/float_trap.h"

#include <ucontext.h>
#include <unistd.h>
#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>

#include "arch/exception.h"
#include "cpu/simd/code_arena.h"
#include "cpu/simd/thunk.h"

namespace postern::cpu {
namespace {

struct sigaction previous;

void report_stray(u64 rip) {
    std::array<char, 96> text;
    const int length = std::snprintf(text.data(), text.size(),
                                     "postern: SIGFPE at %#llx, outside the guest's instructions\n",
                                     static_cast<unsigned long long>(rip));
    // If that fails there is nobody to tell.
    if (write(STDERR_FILENO, text.data(), static_cast<size_t>(length)) < 0) std::abort();
}

void pass_on(int signal, siginfo_t* info, void* context) {
    if ((previous.sa_flags & SA_SIGINFO) != 0) {
        previous.sa_sigaction(signal, info, context);
    } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
        previous.sa_handler(signal);
    } else {
        std::abort();
    }
}

void on_signal(int signal, siginfo_t* info, void* context) {
    auto& rip = static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP];
    const auto trap = static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_TRAPNO];
    // The guest's x87 exceptions are found before the host's unit is asked to wait for them.
    const bool expected = trap == static_cast<i64>(Vector::simd_floating_point);
    if (!expected || !CodeArena::contains(static_cast<u64>(rip))) {
        report_stray(static_cast<u64>(rip));
        return pass_on(signal, info, context);
    }
    rip = reinterpret_cast<greg_t>(&simd_exception);
}

void install_handler() {
    struct sigaction action = {};
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGFPE, &action, &previous) != 0) std::abort();
}

/// Room for the frame of a host with AVX-512 and AMX, and for the handler that was there before.
constexpr size_t alternate_stack_size = size_t{64} << 10;

/// Registered for as long as the thread lives.
class AlternateStack {
public:
    AlternateStack() {
        stack_t old = {};
        if (sigaltstack(nullptr, &old) != 0 || (old.ss_flags & SS_DISABLE) == 0) return;
        memory_ = std::make_unique<u8[]>(alternate_stack_size);
        stack_t mine = {};
        mine.ss_sp = memory_.get();
        mine.ss_size = alternate_stack_size;
        if (sigaltstack(&mine, nullptr) != 0) memory_.reset();
    }
    AlternateStack(const AlternateStack&) = delete;
    AlternateStack& operator=(const AlternateStack&) = delete;
    ~AlternateStack() {
        if (memory_ == nullptr) return;
        stack_t none = {};
        none.ss_flags = SS_DISABLE;
        sigaltstack(&none, nullptr);
    }

private:
    std::unique_ptr<u8[]> memory_;
};

}  // namespace

void prepare_float_trap() {
    static std::once_flag installed;
    std::call_once(installed, install_handler);
    static thread_local const AlternateStack stack;
}

}  // namespace postern::cpu
