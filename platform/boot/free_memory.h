// SPDX-License-Identifier: Apache-2.0
// Which physical addresses are still free while a kernel is placed.
#pragma once

#include <optional>
#include <vector>

#include "platform/boot/memory_map.h"

namespace postern::platform {

struct Range {
    u64 base;
    u64 size;
};

class FreeMemory {
public:
    explicit FreeMemory(std::vector<Range> free) : free_{std::move(free)} {}
    /// The RAM of a memory map.
    explicit FreeMemory(const std::vector<MemoryRange>& map);

    /// True if every byte of `range` is free.
    [[nodiscard]] bool has(Range range) const;
    void take(Range range);

    // A page-aligned address for `size` bytes, all free and between `from` and `end`.
    [[nodiscard]] std::optional<u64> lowest(u64 size, u64 from, u64 end) const;
    [[nodiscard]] std::optional<u64> highest(u64 size, u64 from, u64 end) const;

private:
    std::vector<Range> free_;  // by rising address, without overlaps; none empty
};

}  // namespace postern::platform
