// SPDX-License-Identifier: Apache-2.0
// VMCS regions: decode and encode.
#include "cpu/vmx/region.h"

#include "cpu/mmu/access.h"

namespace postern::cpu::vmx {

u32 read_revision(Cpu& c, Hpa region) {
    return static_cast<u32>(read_physical(c, region + region_revision, 4));
}

void read_region(Cpu& c, Hpa region) {
    Vmcs& v = c.vmx.vmcs;
    v.launched = read_physical(c, region + region_launched, 8) != 0;
    for (size_t n = 0; n < vmcs_field_count; ++n)
        v.slot[n] = read_physical(c, region + (region_fields + 8 * n), 8);
}

void write_region(Cpu& c, Hpa region) {
    const Vmcs& v = c.vmx.vmcs;
    write_physical(c, region + region_launched, 8, v.launched ? 1 : 0);
    for (size_t n = 0; n < vmcs_field_count; ++n)
        write_physical(c, region + (region_fields + 8 * n), 8, v.slot[n]);
}

void clear_launch_state(Cpu& c, Hpa region) { write_physical(c, region + region_launched, 8, 0); }

}  // namespace postern::cpu::vmx
