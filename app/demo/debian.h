// SPDX-License-Identifier: Apache-2.0
// The demo's main part, in Debian: the kernel starts as Postern's guest, Linux's own SGX selftests
// run there, then every scenario that a process can cause, with its controls.
#pragma once

#include <string>

#include "app/options.h"

namespace postern::app {

struct DebianDemoOptions {
    std::string kernel;
    std::string initrd;
    std::string row;      // a scenario's name; empty: all, and the selftests
    std::string without;  // controls that leave one of these out; empty: all
};

/// Status 0: everything came out as predicted; 4: something did not.
int debian_demo(const DebianDemoOptions& options, Terminal terminal);

}  // namespace postern::app
