// SPDX-License-Identifier: Apache-2.0
// Two tasks in ring 3 that share the processor by time: the first is the one that starts the
// other, which it can also end. Both come to the kernel often (exceptions, int 80H); there, who has
// used up its slice of the time-stamp counter hands over. No interrupt is needed.
#pragma once

#include "guests/abi.h"

namespace postern::guests {

/// `first` are the registers of the task that starts it.
void start_second_task(const Registers& first, u64 rip, u64 stack);

/// The first task asks for this.
void stop_second_task();

/// At every entry into the kernel: `registers` may be the other task's from now on.
void share_processor(Registers& registers);

}  // namespace postern::guests
