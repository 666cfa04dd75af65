// SPDX-License-Identifier: Apache-2.0
// Tables are the kernel's own memory, so that their physical address is their address.
#include "guests/blue_pill/ept.h"

#include "guests/blue_pill/vmx.h"
#include "guests/kernel/console.h"
#include "guests/kernel/processor.h"
#include "guests/kernel/sgx.h"

namespace postern::guests {
namespace {

struct alignas(4096) Table {
    u64 entries[512];
};

constexpr u64 gib = u64{1} << 30;
constexpr u64 large_page_size = 2 << 20;
constexpr u64 address_bits = 0x000f'ffff'ffff'f000;
constexpr u64 all_access = 7;
constexpr u64 large = 1 << 7;
constexpr u64 write_back = u64{6} << 3;
constexpr u64 devices_start = 0xc000'0000;
constexpr u32 low_gibs = 4;
constexpr u32 epc_gibs = 2;
constexpr u32 pool_size = 8;

Table root, pointers;
Table directories[low_gibs + epc_gibs];
Table pool[pool_size];
u32 used;

u64 memory_type(u64 physical) {
    const bool device = physical >= devices_start && physical < low_gibs * gib;
    return device ? 0 : write_back;
}

void map_gib(u64 start, Table& directory) {
    if (start >> 39 != 0) fail((Line{} << "L1's EPT ends below ").hex(start));
    pointers.entries[start / gib] = reinterpret_cast<u64>(&directory) | all_access;
    for (u64 i = 0; i < 512; ++i) {
        const u64 at = start + i * large_page_size;
        directory.entries[i] = at | memory_type(at) | large | all_access;
    }
}

Table& table_of(u64 entry) { return *reinterpret_cast<Table*>(entry & address_bits); }

Table& broken_up(u64& entry) {
    if ((entry & large) == 0) return table_of(entry);
    if (used == pool_size) fail(Line{} << "no table left in the pool of L1's EPT");
    Table& table = pool[used++];
    for (u64 i = 0; i < 512; ++i) table.entries[i] = (entry & ~large) + i * 4096;
    entry = reinterpret_cast<u64>(&table) | all_access;
    return table;
}

}  // namespace

void build_ept() {
    root.entries[0] = reinterpret_cast<u64>(&pointers) | all_access;
    for (u64 i = 0; i < low_gibs; ++i) map_gib(i * gib, directories[i]);
    if (!has_sgx()) return;
    const u64 first = epc_address() / gib * gib;
    for (u64 i = 0; i < epc_gibs; ++i)
        if (first + i * gib >= low_gibs * gib) map_gib(first + i * gib, directories[low_gibs + i]);
}

/// Four levels, write-back, no accessed and dirty flags.
u64 ept_pointer() {
    constexpr u64 write_back_type = 6, four_levels = 3 << 3;
    return reinterpret_cast<u64>(&root) | write_back_type | four_levels;
}

void set_access(u64 physical, EptAccess access) {
    const u64 directory = pointers.entries[physical / gib];
    if (directory == 0) fail((Line{} << "L1's EPT does not map ").hex(physical));
    u64& large_entry = table_of(directory).entries[physical / large_page_size % 512];
    u64& entry = broken_up(large_entry).entries[physical / 4096 % 512];
    entry = (entry & ~all_access) | static_cast<u64>(access);
    invept_single_context(ept_pointer());
}

}  // namespace postern::guests
