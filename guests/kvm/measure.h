// SPDX-License-Identifier: Apache-2.0
// What a hypervisor costs its guest, in instructions: the time-stamp counter of our processor
// counts each as one.
#pragma once

namespace kvm {

/// Prints a line for each row: "cost NAME MEDIAN LEAST MOST".
void measure();

}  // namespace kvm
