// SPDX-License-Identifier: Apache-2.0
// `postern run`: a kernel as the guest of our hypervisor.
#pragma once

#include <memory>
#include <string>

#include "app/options.h"
#include "app/sgx_options.h"
#include "cpu/model.h"
#include "host/guest.h"

namespace postern::app {

/// Everything about a hosted run, checked.
struct HostedPlan {
    host::GuestConfig guest;
    cpu::Model model;
    SgxPlan sgx;
    host::Limits limits;
    std::unique_ptr<platform::Sink> serial;
    std::unique_ptr<platform::Sink> console;  // null: there is none
    std::unique_ptr<platform::Disk> drive;
    std::string trace;         // a file; empty: none
    std::string command_line;  // for the trace
    bool stats = false;
    std::string save;  // a snapshot's file; empty: none is made
    u64 save_at = 0;   // 0: at the first write to the mark port
    std::string load;
    std::unique_ptr<platform::Sink> stats_file;  // null: standard error
    // Whose other end standard input is.
    enum class Input : u8 { none, serial, console } input = Input::none;
};

/// The program's exit status.
int run_hosted(HostedPlan& plan, Terminal terminal);

}  // namespace postern::app
