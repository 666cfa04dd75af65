// SPDX-License-Identifier: Apache-2.0
// every_exit's command line, and what else a kernel that has its scenarios can have of its own.
#pragma once

#include "guests/every_exit/abi.h"

namespace postern::guests {

/// Ends the machine with one line if something is wrong.
Orders parse_command_line(const char* text);

/// The kernel's first line.
extern const char* const title;

/// When all but the enclave is there: blue_pill becomes its own guest.
void before_enclave();

}  // namespace postern::guests
