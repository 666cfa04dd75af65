// SPDX-License-Identifier: Apache-2.0
// every_exit's command line.
#pragma once

#include "guests/every_exit/abi.h"

namespace postern::guests {

/// Ends the machine with one line if something is wrong.
Orders parse_command_line(const char* text);

}  // namespace postern::guests
