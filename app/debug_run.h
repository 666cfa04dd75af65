// SPDX-License-Identifier: Apache-2.0
// What --gdb, --log and --symbols do to a bare run.
#pragma once

#include <optional>
#include <string>

#include "app/options.h"
#include "platform/computer.h"
#include "platform/debug/channel.h"
#include "platform/debug/symbols.h"
#include "platform/debug/target.h"

namespace postern::app {

/// Instructions from `first` on and before `last`, counted from power-on.
struct InstructionRange {
    u64 first;
    u64 last;
};

struct DebugPlan {
    std::optional<platform::HostPort> gdb;
    bool branches = false;
    bool devices = false;
    std::optional<InstructionRange> instructions;
    platform::Symbols symbols;

    [[nodiscard]] bool wanted() const { return gdb || branches || instructions; }
};

/// The texts as given; empty: not given. Without --symbols the kernel's own are taken, if it is an
/// ELF file.
platform::Expected<DebugPlan> plan_debugging(const std::string& gdb, const std::string& log,
                                             const std::string& symbols,
                                             const platform::Kernel& kernel);

class DebugRun {
public:
    DebugRun(platform::Computer& computer, const DebugPlan& plan, Terminal terminal);
    ~DebugRun();
    DebugRun(const DebugRun&) = delete;
    DebugRun& operator=(const DebugRun&) = delete;

    /// As Computer::run_until; what --log asks for is printed. It may come back early.
    platform::ComputerOutcome run_until(u64 until);

    /// Waits for a debugger and serves it to its end. True: the run is over, `outcome` and
    /// `limit` say how; false: it is to go on without one.
    struct Session {
        bool over = false;
        bool limit = false;
        bool killed = false;  // the debugger ended it, or is gone
        platform::ComputerOutcome outcome;
    };
    platform::Expected<Session> serve(u64 last, const std::function<bool()>& between);

    /// For a run that cannot go on.
    void report(unsigned processor);

private:
    platform::ComputerOutcome log_instruction();
    void log_access(const platform::DeviceAccess& access);

    platform::Computer* computer_;
    const DebugPlan* plan_;
    Terminal terminal_;
    cpu::Debugger debugger_;
    std::string what_;
};

}  // namespace postern::app
