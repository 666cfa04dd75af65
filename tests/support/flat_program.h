// SPDX-License-Identifier: Apache-2.0
// A flat program on a bare computer: at 10000H in 32-bit protected mode, with flat segments and a
// stack below 80000H.
#pragma once

#include <span>

#include "base/types.h"
#include "platform/computer.h"

namespace postern::platform {

/// Puts the program into the computer's memory; its first processor is about to run it.
void load_flat_program(Computer& computer, std::span<const u8> code);

}  // namespace postern::platform
