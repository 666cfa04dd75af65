// SPDX-License-Identifier: Apache-2.0
// A kernel's start state, put into a processor fresh from reset.
#pragma once

#include "cpu/cpu.h"
#include "platform/boot/start.h"

namespace postern::platform {

/// What StartState does not name keeps its reset value. Interrupts are off, and there is no IDT:
/// an exception before the kernel has one is a triple fault.
void apply_start(cpu::Cpu& c, const StartState& start);

}  // namespace postern::platform
