// SPDX-License-Identifier: Apache-2.0
// What the scenarios ask of our own kernels by int 80H, done by a process of Linux for itself.
#pragma once

#include "guests/runtime/system.h"

namespace postern::guests {

/// Where text and the end go: to the terminal and the process's status, or to ports, with nothing
/// of Linux in between.
enum class Output : u8 { terminal, ports };
void choose_output(Output output);

}  // namespace postern::guests
