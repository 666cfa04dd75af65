// SPDX-License-Identifier: Apache-2.0
// The program's command line, all of it but main().
#pragma once

#include <string>
#include <vector>

#include "app/options.h"

namespace postern::app {

/// `arguments` without the program's name; `directory` is where the program lies. Gives the exit
/// status.
int run_program(const std::vector<std::string>& arguments, const std::string& directory,
                Terminal terminal);

}  // namespace postern::app
