// SPDX-License-Identifier: Apache-2.0
// GDT, IDT, TSS, and the way into ring 3.
#pragma once

#include "guests/abi.h"

namespace postern::guests {

void load_descriptor_tables();

/// Enters ring 3 at `rip`, with every register zero, interrupts off.
[[noreturn]] void enter_ring_3(u64 rip);

}  // namespace postern::guests
