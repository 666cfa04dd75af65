// SPDX-License-Identifier: Apache-2.0
// SDM 3A, "Memory Type Range Registers (MTRRs)".
#include "platform/firmware/memory_types.h"

#include "platform/layout.h"

namespace postern::platform {

namespace {

constexpr u64 write_back = 6;
constexpr u64 uncacheable = 0;
constexpr u64 enabled = 1 << 11;
constexpr u64 fixed_enabled = 1 << 10;
constexpr u64 eight_of(u64 type) { return type * 0x0101'0101'0101'0101; }

}  // namespace

void set_memory_types(cpu::Cpu& c) {
    cpu::MsrState& m = c.msr;
    m.mtrr_def_type = enabled | fixed_enabled | write_back;
    m.mtrr_fixed.fill(eight_of(write_back));
    m.mtrr_fixed[2] = eight_of(uncacheable);  // 16K_A0000: where a PC has its screen
    // The hole for devices below 4 GiB.
    const u64 physical = (u64{1} << c.system->physical_bits) - 1;
    constexpr u64 hole = high_ram_base - low_ram_limit;
    m.mtrr_variable.fill(0);
    m.mtrr_variable[0] = low_ram_limit | uncacheable;
    m.mtrr_variable[1] = (physical & ~(hole - 1)) | enabled;
}

}  // namespace postern::platform
