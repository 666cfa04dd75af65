// SPDX-License-Identifier: Apache-2.0
// The MSR areas of VM entry and VM exit.
#pragma once

#include "cpu/cpu.h"

namespace postern::cpu::vmx {

/// Loads `count` entries. 0, or the number (from 1) of the entry that may not be loaded; those
/// before it were. If that is because its MSR is not implemented, Cpu::pending says so. SDM 3C,
/// "Loading MSRs" of "VM Entries" and "VM Exits".
u32 load_msr_list(Cpu& c, Hpa list, u32 count);

/// Stores the MSRs that `count` entries name. False: one could not be,
/// with the same exception. SDM 3C, "Saving MSRs".
bool store_msr_list(Cpu& c, Hpa list, u32 count);

}  // namespace postern::cpu::vmx
