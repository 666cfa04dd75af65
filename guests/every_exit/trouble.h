// SPDX-License-Identifier: Apache-2.0
// What the kernel does to an event's way (Trouble, in abi.h).
#pragma once

#include "guests/every_exit/abi.h"

namespace postern::guests {

void prepare_trouble();

/// `registers` are those of the ring-3 program that asks for it.
void make_trouble(Registers& registers, Trouble trouble);
void end_trouble(Registers& registers, Trouble trouble);

}  // namespace postern::guests
