// SPDX-License-Identifier: Apache-2.0
// Page tables and descriptors, as a boot loader leaves them.
#include "platform/boot/structures.h"

#include <algorithm>

namespace postern::platform {

namespace {

// The root table, the table below it, a table of 2 MiB pages for each of 4 GiB.
constexpr u64 gib_page = 1;
constexpr u64 first_directory_page = 2;
constexpr u64 mapped_gib = 4;
static_assert(identity_map_pages == first_directory_page + mapped_gib);

constexpr u64 present_writable = 3;
constexpr u64 large_page = 1 << 7;

}  // namespace

void put_bytes(const GuestRam& ram, u64 address, std::span<const u8> bytes) {
    if (!bytes.empty()) std::memcpy(ram.at(address), bytes.data(), bytes.size());
}

void put_zeros(const GuestRam& ram, u64 address, u64 size) {
    for (u64 count = 0; size != 0; address += count, size -= count) {
        count = std::min(size, page_size - address % page_size);
        const std::span<u8> piece{ram.at(address), count};
        if (std::ranges::any_of(piece, [](u8 byte) { return byte != 0; }))
            std::memset(piece.data(), 0, count);
    }
}

void put_segments(const std::vector<ElfSegment>& segments, std::span<const u8> file,
                  const GuestRam& ram) {
    for (const ElfSegment& segment : segments) {
        put_bytes(ram, segment.physical, file.subspan(segment.file_offset, segment.file_size));
        put_zeros(ram, segment.physical + segment.file_size,
                  segment.memory_size - segment.file_size);
    }
}

void put_identity_map(const GuestRam& ram, u64 base) {
    const auto page = [base](u64 index) { return base + index * page_size; };
    std::memset(ram.at(base), 0, identity_map_pages * page_size);
    put(ram, base, page(gib_page) | present_writable);
    for (u64 n = 0; n < mapped_gib; ++n)
        put(ram, page(gib_page) + 8 * n, page(first_directory_page + n) | present_writable);
    for (u64 n = 0; n < mapped_gib * 512; ++n)
        put(ram, page(first_directory_page) + 8 * n, n * 2 * mib | present_writable | large_page);
}

void put_descriptors(const GuestRam& ram, u64 base, u16 selector, u64 code, StartState& start) {
    put(ram, base + selector, code);
    put(ram, base + selector + 8, data_descriptor);
    start.gdt_base = base;
    start.gdt_limit = static_cast<u16>(selector + 15);
    start.code_selector = selector;
    start.data_selector = static_cast<u16>(selector + 8);
}

}  // namespace postern::platform
