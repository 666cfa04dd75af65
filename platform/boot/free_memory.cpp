// SPDX-License-Identifier: Apache-2.0
// A short list of free ranges.
#include "platform/boot/free_memory.h"

#include <algorithm>
#include <ranges>

#include "base/bits.h"

namespace postern::platform {

namespace {

/// Where `range` and the addresses from `from` to `end` meet; empty (begin >= end) if nowhere.
struct Window {
    u64 begin;
    u64 end;

    [[nodiscard]] bool fits(u64 size) const { return begin <= end && size <= end - begin; }
};

Window window(const Range& range, u64 from, u64 end) {
    return {align_up(std::max(range.base, from), page_size),
            std::min(range.base + range.size, end)};
}

}  // namespace

FreeMemory::FreeMemory(const std::vector<MemoryRange>& map) {
    for (const MemoryRange& range : map)
        if (range.kind == MemoryKind::ram && range.size != 0)
            free_.push_back({range.base, range.size});
}

bool FreeMemory::has(Range range) const {
    return std::ranges::any_of(free_, [&](const Range& free) {
        return range.base >= free.base && range.base - free.base <= free.size &&
               range.size <= free.size - (range.base - free.base);
    });
}

void FreeMemory::take(Range range) {
    const u64 end = range.base + range.size;
    std::vector<Range> left;
    for (const Range& free : free_) {
        const u64 free_end = free.base + free.size;
        if (end <= free.base || free_end <= range.base) {
            left.push_back(free);
            continue;
        }
        if (free.base < range.base) left.push_back({free.base, range.base - free.base});
        if (end < free_end) left.push_back({end, free_end - end});
    }
    free_ = std::move(left);
}

std::optional<u64> FreeMemory::lowest(u64 size, u64 from, u64 end) const {
    for (const Range& free : free_)
        if (const Window place = window(free, from, end); place.fits(size)) return place.begin;
    return {};
}

std::optional<u64> FreeMemory::highest(u64 size, u64 from, u64 end) const {
    for (const Range& free : free_ | std::views::reverse) {
        const Window place = window(free, from, end);
        if (!place.fits(size)) continue;
        // The begin is a page's, so that rounding down cannot pass it.
        return align_down(place.end - size, page_size);
    }
    return {};
}

}  // namespace postern::platform
