// SPDX-License-Identifier: Apache-2.0
// `postern run`: a kernel as the guest of our hypervisor.
#pragma once

#include <string>

#include "app/run_plan.h"

namespace postern::app {

/// Everything about a hosted run, checked.
struct HostedPlan : RunPlan {
    host::GuestConfig guest;
    std::string trace;         // a file; empty: none
    std::string command_line;  // for the trace
};

/// The program's exit status.
int run_hosted(HostedPlan& plan, Terminal terminal);

}  // namespace postern::app
