// SPDX-License-Identifier: Apache-2.0
// What an EPT entry for a page of a slot may be: for a guest's own EPT and for its guests' alike.
#pragma once

#include "arch/paging.h"
#include "arch/vmx/ept.h"
#include "hv/memory/memory_map.h"

namespace postern::hv {

inline constexpr EptFlags ept_all_access{EptBit::read, EptBit::write, EptBit::execute};

constexpr EptFlags permissions_of(SlotKind kind) {
    return kind == SlotKind::rom ? ept_all_access.without({EptBit::write}) : ept_all_access;
}

/// The page of `level` around `address` lies in the slot, and is one page behind it too.
constexpr bool fits(const MemorySlot& slot, Gpa address, unsigned level) {
    const u64 bytes = page_bytes(level);
    const u64 base = align_down(address.raw(), bytes);
    if (base < slot.base.raw() || base - slot.base.raw() > slot.size) return false;
    if (slot.size - (base - slot.base.raw()) < bytes) return false;
    return is_aligned(MemoryMap::host_address(slot, Gpa{base}).raw(), bytes);
}

/// Of the pages around `address` the largest that the slot allows, up to `most`. Pages of EPC are
/// mapped one by one.
constexpr unsigned largest_page(const MemorySlot& slot, Gpa address, unsigned most) {
    unsigned level = slot.kind == SlotKind::epc ? 1 : most;
    while (level > 1 && !fits(slot, address, level)) --level;
    return level;
}

/// The host's address of the page of `level` around `address`.
constexpr Hpa host_page(const MemorySlot& slot, Gpa address, unsigned level) {
    return MemoryMap::host_address(slot, Gpa{align_down(address.raw(), page_bytes(level))});
}

}  // namespace postern::hv
