// SPDX-License-Identifier: Apache-2.0
// The arithmetic of physical memory with a hole.
#include "platform/layout.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/bits.h"

namespace postern::platform {

bool Layout::is_ram(u64 base, u64 size) const {
    if (base + size < base) return false;
    if (base + size <= low_size) return true;
    return base >= high_ram_base && base + size <= high_ram_base + high_size;
}

u64 Layout::address_of(u64 offset) const {
    return offset < low_size ? offset : high_ram_base + (offset - low_size);
}

u64 Layout::offset_of(u64 address) const {
    return address < low_size ? address : low_size + (address - high_ram_base);
}

u64 end_of(const Layout& layout) {
    const u64 ram = layout.high_size != 0 ? high_ram_base + layout.high_size : layout.low_size;
    return std::max(ram, layout.epc_base + layout.epc_size);
}

Layout layout_of(u64 memory, u64 epc, u64 epc_gap) {
    Layout layout;
    layout.low_size = std::min(memory, low_ram_limit);
    layout.high_size = memory - layout.low_size;
    layout.epc_size = epc;
    if (epc != 0)
        layout.epc_base = align_up(high_ram_base + layout.high_size, epc_alignment) + epc_gap;
    return layout;
}

Expected<Layout> checked_layout(u64 memory, u64 epc) {
    if (memory < memory_least || memory > memory_most)
        return error(fmt::format("{} bytes of memory", memory), "--memory",
                     "a size from 2M to 64G");
    if (!is_aligned(memory, page_size))
        return error(fmt::format("{} bytes of memory are not whole pages", memory), "--memory",
                     "a multiple of 4K");
    if (epc != 0 && (epc < epc_least || epc > epc_most))
        return error(fmt::format("{} bytes of EPC", epc), "--epc", "0, or a size from 64K to 16G");
    if (!is_aligned(epc, page_size))
        return error(fmt::format("{} bytes of EPC are not whole pages", epc), "--epc",
                     "a multiple of 4K");
    return layout_of(memory, epc);
}

std::vector<Stretch> place_in(const Layout& guest, const Layout& machine, u64 reserve) {
    std::vector<Stretch> stretches;
    const auto left_below = [](const Layout& layout, u64 offset) {
        return offset < layout.low_size ? layout.low_size - offset : layout.ram_size() - offset;
    };
    for (u64 offset = 0; offset < guest.ram_size();) {
        const u64 size = std::min(left_below(guest, offset), left_below(machine, reserve + offset));
        stretches.push_back({guest.address_of(offset), machine.address_of(reserve + offset), size});
        offset += size;
    }
    return stretches;
}

}  // namespace postern::platform
