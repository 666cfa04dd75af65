// SPDX-License-Identifier: Apache-2.0
// Statuses and their lines.
#include "app/exec/ending.h"

#include <cerrno>
#include <csignal>
#include <cstring>

#include <fmt/format.h>

#include "app/exec/protocol.h"
#include "app/exec/refusal.h"

namespace postern::app::exec {

namespace {

using platform::ComputerStop;

Ending signalled(int number, const std::string& program) {
    const char* const name = sigabbrev_np(number);
    return {status_signal + number,
            fmt::format("{} was ended by signal {}{}", program, number,
                        name != nullptr ? fmt::format(" (SIG{})", name) : "")};
}

Ending not_executed(int reason, const std::string& program) {
    return {reason == ENOENT ? status_not_found : status_not_executable,
            fmt::format("{} cannot be executed: {}", program, std::strerror(reason))};
}

Ending of_kernel(std::string text) { return {status_failed, std::move(text), true}; }

}  // namespace

Ending ending_of_word(u32 word, const std::string& program, const std::string& complaint) {
    const auto number = static_cast<int>(word >> 8 & 0xff);
    switch (static_cast<GuestEnding>(word & 0xff)) {
        case GuestEnding::exited: return {number, {}};
        case GuestEnding::signalled: return signalled(number, program);
        case GuestEnding::not_executed: return not_executed(number, program);
        case GuestEnding::init_failed:
            return {status_failed, fmt::format("{} was not run: {}", program, complaint)};
    }
    return {status_failed, fmt::format("something wrote {:#x} to the exit port", word)};
}

Ending ending_of(const platform::ComputerOutcome& outcome, const std::string& program,
                 const std::string& complaint) {
    switch (outcome.stop) {
        case ComputerStop::exit_port: return ending_of_word(outcome.value, program, complaint);
        case ComputerStop::power_off: return of_kernel("the guest switched itself off");
        case ComputerStop::reset: return of_kernel("the guest's kernel gave up");
        case ComputerStop::shutdown: return of_kernel("the guest's kernel met a triple fault");
        case ComputerStop::halted:
            return of_kernel("every processor waits, and nothing will wake one");
        case ComputerStop::unimplemented:
            return of_kernel(fmt::format("not implemented: {}", outcome.what));
        default: return of_kernel("the run was interrupted");
    }
}

}  // namespace postern::app::exec
