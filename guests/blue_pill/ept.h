// SPDX-License-Identifier: Apache-2.0
// L1's EPT: every guest-physical address is what it is, in pages of 2 MiB, of which one is broken
// up when a page of 4 KiB is to differ. SDM 3C, "The Extended Page-Table Mechanism (EPT)".
#pragma once

#include "base/types.h"

namespace postern::guests {

/// Bits 2:0 of an EPT entry.
enum class EptAccess : u64 { none = 0, read_and_execute = 5, all = 7 };

void build_ept();
u64 ept_pointer();

/// The page at `physical`; what the processor remembers is forgotten.
void set_access(u64 physical, EptAccess access);

}  // namespace postern::guests
