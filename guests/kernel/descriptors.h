// SPDX-License-Identifier: Apache-2.0
// GDT, IDT, TSS, and the way into ring 3.
#pragma once

#include "guests/abi.h"

namespace postern::guests {

void load_descriptor_tables();

/// Enters ring 3 at `rip`, with every register zero, interrupts off.
[[noreturn]] void enter_ring_3(u64 rip);

void set_gate(u32 vector, u64 entry);

/// INT3 in ring 3 is a #BP then, not a #GP.
void let_ring_3_raise(u32 vector);

/// An exception gets a stack of its own; 0: it has none any more.
void use_stack(u32 vector, u64 top);

/// The stack of every exception of ring 3 without one of its own; 0: the ordinary one.
void use_ring_0_stack(u64 top);

/// No event can be delivered any more.
void take_idt_away();

}  // namespace postern::guests
