// SPDX-License-Identifier: Apache-2.0
// `postern run --bare`: a kernel straight on the software processors, no hypervisor below it.
#pragma once

#include <memory>

#include "app/debug_run.h"
#include "app/options.h"
#include "app/sgx_options.h"
#include "cpu/model.h"
#include "platform/computer.h"

namespace postern::app {

/// Everything about a bare run, checked.
struct BarePlan {
    platform::ComputerConfig computer;
    cpu::Model model;
    SgxPlan sgx;
    std::unique_ptr<platform::Sink> serial;
    std::unique_ptr<platform::Sink> console;  // null: there is none
    u64 instructions = 0;                     // 0: no limit
    u64 milliseconds = 0;                     // likewise
    bool stats = false;
    std::unique_ptr<platform::Sink> stats_file;  // null: standard error
    std::unique_ptr<platform::Disk> drive;
    // Whose other end standard input is.
    enum class Input : u8 { none, serial, console } input = Input::none;
    std::string save;  // a snapshot's file; empty: none is made
    u64 save_at = 0;   // 0: at the first write to the mark port
    std::string load;
    DebugPlan debug;
};

/// The program's exit status.
int run_bare(BarePlan& plan, Terminal terminal);

}  // namespace postern::app
