// SPDX-License-Identifier: Apache-2.0
// The user's program, from its start to its end.
#pragma once

#include "guests/exec/payload.h"

namespace postern::exec {

[[noreturn]] void run_program(const Command& command);

}  // namespace postern::exec
