// SPDX-License-Identifier: Apache-2.0
// A machine from power-on to the end of the user's program.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "app/debug_run.h"
#include "app/options.h"
#include "app/sgx_options.h"
#include "cpu/model.h"
#include "platform/computer.h"
#include "platform/device/sink.h"

namespace postern::app::exec {

/// Everything about a run, checked.
struct SessionPlan {
    platform::ComputerConfig computer;  // without a kernel
    cpu::Model model;
    SgxPlan sgx;           // of the program's run only, but for the seed
    std::string machine;   // all that describes it, for the name of a snapshot
    std::string cache;     // where snapshots are; empty: nowhere
    std::string kernel;    // its file
    std::string init;      // likewise
    std::string program;   // what messages call it
    u64 instructions = 0;  // of the program; 0: no limit
    u64 milliseconds = 0;  // of the whole run; likewise
    bool verbose = false;
    bool stats = false;
    std::unique_ptr<platform::Sink> stats_file;  // null: standard error
    DebugPlan debug;
};

/// The program's exit status.
int run_session(SessionPlan& plan, Terminal terminal);

}  // namespace postern::app::exec
