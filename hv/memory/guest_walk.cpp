// SPDX-License-Identifier: Apache-2.0
// SDM 3A, "4-Level Paging and 5-Level Paging", as much of it as an instruction fetch needs.
#include "hv/memory/guest_walk.h"

#include <cstring>

#include "arch/paging.h"

namespace postern::hv {

Result<Gpa> walk(const Vm& vm, const PagingRegisters& registers, Gva address) {
    if (!registers.cr0.has(Cr0::pg)) return Gpa{address.raw()};
    if (!registers.efer.has(Efer::lma) || registers.cr4.has(Cr4::la57)) return Failed{};
    u64 table = cr3_table(registers.cr3);
    for (unsigned level = 4; level > 0; --level) {
        const Gpa at{table + linear_index(address, level) * sizeof(u64)};
        const u8* const bytes = vm.bytes_at(at);
        if (bytes == nullptr) return Failed{};
        u64 raw = 0;
        std::memcpy(&raw, bytes, sizeof raw);
        const auto entry = PageEntry::from_raw(raw);
        if (!entry.has(PageEntryBit::p)) return Failed{};
        table = page_address(entry, level);
        if (is_page(entry, level)) return Gpa{table + (address.raw() & (page_bytes(level) - 1))};
    }
    return Failed{};
}

size_t read_guest(const Vm& vm, const PagingRegisters& registers, Gva address, u8* bytes,
                  size_t wanted) {
    size_t have = 0;
    while (have < wanted) {
        const Gva at = address + have;
        const Result<Gpa> physical = walk(vm, registers, at);
        const u8* const source = physical.ok() ? vm.bytes_at(physical.value()) : nullptr;
        if (source == nullptr) return have;
        const size_t in_page = page_size - at.offset();
        const size_t count = in_page < wanted - have ? in_page : wanted - have;
        std::memcpy(bytes + have, source, count);
        have += count;
    }
    return have;
}

}  // namespace postern::hv
