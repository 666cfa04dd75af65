// SPDX-License-Identifier: Apache-2.0
// The ranges of a PC of ours.
#include "platform/boot/memory_map.h"

namespace postern::platform {

std::vector<MemoryRange> memory_map(const Layout& layout) {
    std::vector<MemoryRange> map{
        {0, conventional_memory_end, MemoryKind::ram},
        {conventional_memory_end, 0xa'0000 - conventional_memory_end, MemoryKind::reserved},
        {firmware_base, firmware_size, MemoryKind::acpi_tables},
        {mib, layout.low_size - mib, MemoryKind::ram}};
    if (layout.high_size != 0) map.push_back({high_ram_base, layout.high_size, MemoryKind::ram});
    if (layout.epc_size != 0)
        map.push_back({layout.epc_base, layout.epc_size, MemoryKind::reserved});
    return map;
}

}  // namespace postern::platform
