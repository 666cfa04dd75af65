// SPDX-License-Identifier: Apache-2.0
// Where the guests are that are built with the program.
#pragma once

#include <string>
#include <string_view>

namespace postern::app {

/// Beside the program, which is in `directory`, as it is built, or where it is installed.
std::string find_guest(const std::string& directory, std::string_view name);

}  // namespace postern::app
