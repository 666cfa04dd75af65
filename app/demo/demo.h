// SPDX-License-Identifier: Apache-2.0
// `postern demo`, what `make run` shows: rows of exits from an enclave, each checked against
// what is known without Postern, and each run again with a protection left out, which must go
// wrong as predicted. Three rows are told in full, the others are a table of scenarios.
#pragma once

#include <string>

#include "app/options.h"

namespace postern::app {

struct DemoOptions {
    std::string row;      // a number or a scenario's name; empty: all
    std::string without;  // empty: the rows as they are, and their controls
    std::string kernel;   // for rows 1 to 3; empty: guests/first_light.elf beside the program.
                          // Or Debian's.
    std::string guest = "own";  // or "debian"
    std::string initrd;         // Debian's
};

/// Status 0: every row and every control came out as predicted; 4: one did not.
int demo_command(const DemoOptions& options, const std::string& directory, Terminal terminal);

}  // namespace postern::app
