// SPDX-License-Identifier: Apache-2.0
// What the checks of the three groups of control fields share.
#pragma once

#include "cpu/vmx/capability.h"
#include "cpu/vmx/check.h"

namespace postern::cpu::vmx {

template <ControlWord word>
bool accepts(u32 controls) {
    constexpr ControlCapability capability = true_capability(word);
    return capability.accepts(controls);
}

// An MSR area has entries of 16 bytes; an empty one is not looked at. Whether it ends validly is
// computed with more bits than an address has.

inline bool begins_validly(const Cpu& c, u32 count, u64 address) {
    return count == 0 || (address % 16 == 0 && is_physical(c, address));
}

inline bool ends_validly(const Cpu& c, u32 count, u64 address) {
    const u64 size = u64{count} * 16;
    return count == 0 || (address <= ~u64{0} - (size - 1) && is_physical(c, address + (size - 1)));
}

}  // namespace postern::cpu::vmx
