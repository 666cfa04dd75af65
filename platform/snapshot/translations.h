// SPDX-License-Identifier: Apache-2.0
// A processor's software TLB in a snapshot: host pointers become offsets into RAM or the EPC. What
// it holds is visible to software, so it is part of the machine's state.
#pragma once

#include "cpu/cpu.h"
#include "cpu/system.h"
#include "platform/snapshot/bytes.h"

namespace postern::platform::snapshot {

/// Ordered by context and slot; before them, where instructions come from.
Bytes save_translations(const cpu::Cpu& c);

/// Could save_translations() have written this for a machine with that much memory?
bool plausible_translations(View bytes, const cpu::System& system);

/// Of a processor whose registers have been restored, as those of all others: before the first
/// insert_translations() every processor has forgotten what it had.
void forget_translations(cpu::Cpu& c);
void insert_translations(cpu::Cpu& c, View bytes);

}  // namespace postern::platform::snapshot
