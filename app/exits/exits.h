// SPDX-License-Identifier: Apache-2.0
// `postern exits TRACE`: who exited, why, from which enclave, what was done.
#pragma once

#include <string>
#include <vector>

#include "app/options.h"

namespace postern::app {

/// As given; texts are looked into by exits_command.
struct ExitsOptions {
    std::string trace;
    std::string enclave;
    std::vector<std::string> reasons;
    std::string from, to;
    std::string buckets = "10";
    bool list = false;
    bool json = false;
    bool csv = false;
    bool kvm = false;
};

/// The program's exit status.
int exits_command(const ExitsOptions& options, Terminal terminal);

}  // namespace postern::app
