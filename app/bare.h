// SPDX-License-Identifier: Apache-2.0
// `postern run --bare`: a kernel straight on the software processors, no hypervisor below it.
#pragma once

#include "app/debug_run.h"
#include "app/run_plan.h"
#include "platform/computer.h"

namespace postern::app {

/// Everything about a bare run, checked.
struct BarePlan : RunPlan {
    platform::ComputerConfig computer;
    DebugPlan debug;
};

/// The program's exit status.
int run_bare(BarePlan& plan, Terminal terminal);

}  // namespace postern::app
