// SPDX-License-Identifier: Apache-2.0
// What a process of Linux has of the machine when it is allowed to: ports, the doorbell's page.
#pragma once

#include "base/types.h"

namespace postern::guests {

/// Ends the program with one line on standard error.
[[noreturn]] void fail(const char* what);

/// Ports, memory that stays, one processor, ahead of everything else that wants to run.
void take_the_machine();

/// The doorbell, mapped where the scenarios look for it.
void map_doorbell();

/// One tick of the kernel has just passed: none will come for nearly as long as it takes.
void wait_for_tick();

void mark(u32 value);
/// What the machine's owner answers to a mark; all ones if nobody does.
u32 answer();
void put_debug_port(const char* text, u64 length);
[[noreturn]] void write_exit_port(u32 value);

}  // namespace postern::guests
