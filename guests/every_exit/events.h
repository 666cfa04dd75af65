// SPDX-License-Identifier: Apache-2.0
// The record of every event that reaches the kernel.
#pragma once

#include "guests/every_exit/abi.h"

namespace postern::guests {

/// Forgets all events. From now on they are expected at `aep`, of the enclave's thread `tcs`.
void watch(u64 aep, u64 tcs);

void record(const Registers& registers);

/// An event at an instruction that the kernel itself runs for the runtime. False: it is not one.
bool step_over_own(Registers& registers);

/// An interrupt of a vector that no exception uses.
void count_interrupt(const Registers& registers);
void count_nmi();

}  // namespace postern::guests
