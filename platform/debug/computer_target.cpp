// SPDX-License-Identifier: Apache-2.0
// From the computer's outcomes to the debugger's.
#include "platform/debug/computer_target.h"

#include <algorithm>

namespace postern::platform {

namespace {

DebugStop stop_of(ComputerStop stop) {
    switch (stop) {
        case ComputerStop::time: return DebugStop::time;
        case ComputerStop::power_off: return DebugStop::power_off;
        case ComputerStop::exit_port: return DebugStop::exit_port;
        case ComputerStop::reset: return DebugStop::reset;
        case ComputerStop::shutdown: return DebugStop::shutdown;
        case ComputerStop::halted: return DebugStop::halted;
        case ComputerStop::unimplemented: return DebugStop::unimplemented;
        case ComputerStop::breakpoint: return DebugStop::breakpoint;
        case ComputerStop::interrupted: return DebugStop::interrupted;
    }
    return DebugStop::unimplemented;
}

}  // namespace

DebugOutcome ComputerTarget::finish(const ComputerOutcome& outcome) {
    const bool late = between_ && between_();
    DebugOutcome result{stop_of(outcome.stop), outcome.processor, outcome.value,
                        outcome.what != nullptr ? outcome.what : ""};
    if (result.stop == DebugStop::time && (late || computer_->now() >= last_))
        result.stop = DebugStop::limit;
    return result;
}

DebugOutcome ComputerTarget::run(u64 until) {
    return finish(computer_->run_until(std::min(until, last_)));
}

/// A processor whose turn it is takes its step within the turn, so that the others are where they
/// would be without a debugger.
DebugOutcome ComputerTarget::step(unsigned n) {
    const Computer::State state = computer_->state();
    const bool natural = processor_count() == 1 || (state.turn == n && state.now < state.turn_end);
    if (natural) return finish(computer_->run_until(std::min(state.now + 1, last_)));
    return finish(computer_->step(n));
}

std::string ComputerTarget::save(const std::string& path) {
    const auto saved = save_snapshot(subject_of(*computer_), path);
    if (saved) return "saved to " + path + "\n";
    const Error& e = saved.error();
    return e.what + ": " + e.where + ": " + e.right + '\n';
}

}  // namespace postern::platform
