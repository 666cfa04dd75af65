// SPDX-License-Identifier: Apache-2.0
// The PC's memory as firmware tells it (e820): RAM with the holes a PC has below 1 MiB, the pages
// that hold the ACPI tables, EPC as reserved.
#pragma once

#include <vector>

#include "platform/layout.h"

namespace postern::platform {

/// The numbers are e820's. ACPI, "System Address Map Interfaces".
enum class MemoryKind : u32 { ram = 1, reserved = 2, acpi_tables = 3 };

struct MemoryRange {
    u64 base;
    u64 size;
    MemoryKind kind;
    friend bool operator==(const MemoryRange&, const MemoryRange&) = default;
};

/// Where conventional memory ends, and where ACPI tables and other firmware data lie.
inline constexpr u64 conventional_memory_end = 0x9'f000;
inline constexpr u64 firmware_base = 0xe'0000;
inline constexpr u64 firmware_size = 0x2'0000;

/// By rising address, without overlaps.
std::vector<MemoryRange> memory_map(const Layout& layout);

}  // namespace postern::platform
