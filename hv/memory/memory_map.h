// SPDX-License-Identifier: Apache-2.0
// What lies where in a guest's physical address space: memory slots and device ranges. Whatever
// is in neither is treated as a device that does not answer.
#pragma once

#include <array>

#include "base/address.h"
#include "base/bits.h"

namespace postern::hv {

enum class SlotKind : u8 { ram, epc, rom };

/// Page-aligned. Pages of EPC have no bytes that Port::page could give.
struct MemorySlot {
    Gpa base;
    u64 size = 0;
    SlotKind kind = SlotKind::ram;
    Hpa host;
};

struct MmioRange {
    Gpa base;
    u64 size = 0;
};

class MemoryMap {
public:
    /// What four levels of EPT reach.
    static constexpr u64 address_limit = u64{1} << 48;
    static constexpr size_t slot_limit = 16;
    static constexpr size_t range_limit = 16;

    /// False: not page-aligned, empty, overlapping, out of EPT's reach, or no room.
    [[nodiscard]] constexpr bool add(const MemorySlot& slot) {
        if (slot_count_ == slot_limit || !is_free(slot.base.raw(), slot.size)) return false;
        if (!is_aligned(slot.host.raw(), page_size)) return false;
        slots_[slot_count_++] = slot;
        return true;
    }
    [[nodiscard]] constexpr bool add(const MmioRange& range) {
        if (range_count_ == range_limit || !is_free(range.base.raw(), range.size)) return false;
        ranges_[range_count_++] = range;
        return true;
    }

    /// Null: no memory there.
    [[nodiscard]] constexpr const MemorySlot* find(Gpa address) const {
        for (size_t i = 0; i < slot_count_; ++i)
            if (address.raw() - slots_[i].base.raw() < slots_[i].size) return &slots_[i];
        return nullptr;
    }
    [[nodiscard]] constexpr size_t slot_count() const { return slot_count_; }
    [[nodiscard]] constexpr const MemorySlot& slot(size_t number) const { return slots_[number]; }
    [[nodiscard]] constexpr bool is_mmio(Gpa address) const {
        for (size_t i = 0; i < range_count_; ++i)
            if (address.raw() - ranges_[i].base.raw() < ranges_[i].size) return true;
        return false;
    }
    [[nodiscard]] static constexpr Hpa host_address(const MemorySlot& slot, Gpa address) {
        return slot.host + (address - slot.base);
    }

private:
    [[nodiscard]] constexpr bool is_free(u64 base, u64 size) const {
        if (size == 0 || size > address_limit || base > address_limit - size) return false;
        if (!is_aligned(base, page_size) || !is_aligned(size, page_size)) return false;
        for (size_t i = 0; i < slot_count_; ++i)
            if (overlaps(base, size, slots_[i].base.raw(), slots_[i].size)) return false;
        for (size_t i = 0; i < range_count_; ++i)
            if (overlaps(base, size, ranges_[i].base.raw(), ranges_[i].size)) return false;
        return true;
    }
    [[nodiscard]] static constexpr bool overlaps(u64 a, u64 a_size, u64 b, u64 b_size) {
        return a < b + b_size && b < a + a_size;
    }

    std::array<MemorySlot, slot_limit> slots_{};
    std::array<MmioRange, range_limit> ranges_{};
    size_t slot_count_ = 0;
    size_t range_count_ = 0;
};

}  // namespace postern::hv
