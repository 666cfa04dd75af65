// SPDX-License-Identifier: Apache-2.0
// What every way of entering a kernel needs in its RAM: page tables and a descriptor table.
#pragma once

#include <cstring>

#include "platform/boot/start.h"

namespace postern::platform {

template <class T>
void put(const GuestRam& ram, u64 address, const T& value) {
    std::memcpy(ram.at(address), &value, sizeof value);
}

void put_bytes(const GuestRam& ram, u64 address, std::span<const u8> bytes);

/// Memory that is zero already is only read: it costs the host none.
void put_zeros(const GuestRam& ram, u64 address, u64 size);

/// An image's segments, with zeros beyond their part of the file.
void put_segments(const std::vector<ElfSegment>& segments, std::span<const u8> file,
                  const GuestRam& ram);

/// Page tables that map 4 GiB to themselves by 2 MiB pages, writable: root first, these many
/// pages from `base` on.
inline constexpr u64 identity_map_pages = 6;
void put_identity_map(const GuestRam& ram, u64 base);

// Flat segments of ring 0.
inline constexpr u64 code_descriptor_64 = 0x00af'9a00'0000'ffff;
inline constexpr u64 code_descriptor_32 = 0x00cf'9a00'0000'ffff;
inline constexpr u64 data_descriptor = 0x00cf'9200'0000'ffff;

/// A descriptor table at `base` with `code` at `selector` and the data segment behind it; into
/// `start` goes where it is.
void put_descriptors(const GuestRam& ram, u64 base, u16 selector, u64 code, StartState& start);

}  // namespace postern::platform
