// SPDX-License-Identifier: Apache-2.0
// The memory types as firmware leaves them in a processor's MTRRs: write-back everywhere but where
// devices are.
#pragma once

#include "cpu/cpu.h"

namespace postern::platform {

void set_memory_types(cpu::Cpu& c);

}  // namespace postern::platform
