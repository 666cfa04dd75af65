// SPDX-License-Identifier: Apache-2.0
// What a debugger drives: processors that run, stop and are looked at. platform::Computer is one,
// a test's own another.
#pragma once

#include <string>

#include "cpu/cpu.h"
#include "cpu/debugger.h"
#include "cpu/system.h"

namespace postern::platform {

/// Why the processors stand still.
enum class DebugStop : u8 {
    time,           // the time asked for has come
    breakpoint,     // cpu::Debugger::hit says more
    stepped,        // the step is done
    interrupted,    // somebody asked for it
    exit_port,      // the machine's end, value: what was written
    power_off,      // the machine's end
    reset,          // the machine's end
    shutdown,       // a triple fault
    unimplemented,  // what: names it
    halted,         // every processor waits, and nothing will ever wake one
    limit,          // of time or instructions, set by the user
};

/// The machine is gone, or can do nothing more.
constexpr bool is_end(DebugStop stop) {
    return stop == DebugStop::exit_port || stop == DebugStop::power_off ||
           stop == DebugStop::reset || stop == DebugStop::limit;
}

struct DebugOutcome {
    DebugStop stop = DebugStop::time;
    unsigned processor = 0;
    u32 value = 0;
    std::string what;
};

class DebugTarget {
public:
    virtual ~DebugTarget() = default;

    /// Its `debugger` is set for as long as somebody debugs.
    [[nodiscard]] virtual cpu::System& system() = 0;
    [[nodiscard]] virtual unsigned processor_count() const = 0;
    [[nodiscard]] virtual cpu::Cpu& processor(unsigned n) = 0;
    [[nodiscard]] virtual u64 now() const = 0;
    /// Whose instruction is next when run() goes on.
    [[nodiscard]] virtual unsigned current() const = 0;

    /// Runs until `until` at the latest. Where it comes back is invisible to the software.
    virtual DebugOutcome run(u64 until) = 0;
    /// One instruction of one processor, the others standing still.
    virtual DebugOutcome step(unsigned processor) = 0;

    /// `monitor save FILE`: what to tell the user.
    virtual std::string save(const std::string&) { return "not implemented: save\n"; }
};

}  // namespace postern::platform
