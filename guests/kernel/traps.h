// SPDX-License-Identifier: Apache-2.0
// Exceptions and int 80H: what is every kernel's, and what each adds.
#pragma once

#include "guests/abi.h"

namespace postern::guests {

/// Ring 3 goes on in its signal handler; ends the machine if it has none or is in it already.
void signal_ring_3(Registers& registers);

// Each kernel has its own of these.

/// Sees every exception and interrupt first. True: there is no more to do.
bool take_own_trap(Registers& registers);

/// A call that only this kernel knows. False: it does not know it either.
bool serve_own_call(Registers& registers);

}  // namespace postern::guests
