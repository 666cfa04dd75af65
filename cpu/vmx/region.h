// SPDX-License-Identifier: Apache-2.0
// A VMCS in memory: revision, abort indicator, launch state, then one 8-byte slot for each row of
// the field table. Software sees only the first two; the rest is this processor's own format.
#pragma once

#include "cpu/cpu.h"

namespace postern::cpu::vmx {

/// SDM 3C, "Format of the VMCS Region".
inline constexpr u64 region_revision = 0;
inline constexpr u64 region_abort = 4;
inline constexpr u64 region_launched = 8;
inline constexpr u64 region_fields = 16;
static_assert(region_fields + 8 * vmcs_field_count <= page_size);

u32 read_revision(Cpu& c, Hpa region);
/// VMX operation's data in memory become the current VMCS, and the other way round.
void read_region(Cpu& c, Hpa region);
void write_region(Cpu& c, Hpa region);
void clear_launch_state(Cpu& c, Hpa region);

}  // namespace postern::cpu::vmx
