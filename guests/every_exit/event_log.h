// SPDX-License-Identifier: Apache-2.0
// How an event is entered into the log that the runtime looks at, whoever learns of it: our own
// kernel from its frame, a process from a signal's.
#pragma once

#include "guests/every_exit/abi.h"

namespace postern::guests {

class EventRecorder {
public:
    /// Forgets all events. From now on they are expected at `aep`, of the enclave's thread `tcs`.
    void watch(EventLog& log, u64 aep, u64 tcs) {
        aep_ = aep;
        tcs_ = tcs;
        log = {};
        log.all_at_aep = log.all_synthetic = log.vectors_clear = 1;
    }

    /// Of each event.
    void judge(EventLog& log, const Registers& registers) const {
        if (log.count < events_listed) log.vectors[log.count] = registers.vector;
        if (registers.rip != aep_ || registers.rax != eresume) log.all_at_aep = 0;
        if (!is_synthetic(registers)) log.all_synthetic = 0;
    }

    /// Counts it. True: it is the first, whose details are kept.
    static bool count(EventLog& log, const Registers& registers) {
        if (log.count++ != 0) return false;
        log.error_code = registers.error_code;
        log.rip = registers.rip;
        log.rax = registers.rax;
        log.ring = registers.cs & 3;
        return true;
    }

private:
    static constexpr u64 eresume = 3;

    /// SDM 3D, "Synthetic State on Asynchronous Enclave Exit". RBP and RSP are not looked at.
    [[nodiscard]] bool is_synthetic(const Registers& registers) const {
        constexpr u64 cleared_flags = 0x1'08d5;  // CF, PF, AF, ZF, SF, OF, RF
        const u64 zero = registers.rdx | registers.rsi | registers.rdi | registers.r8 |
                         registers.r9 | registers.r10 | registers.r11 | registers.r12 |
                         registers.r13 | registers.r14 | registers.r15 |
                         (registers.rflags & cleared_flags);
        return zero == 0 && registers.rax == eresume && registers.rbx == tcs_ &&
               registers.rcx == aep_;
    }

    u64 aep_ = 0, tcs_ = 0;
};

}  // namespace postern::guests
