// SPDX-License-Identifier: Apache-2.0
// Tables come from a fixed pool below 4 GiB, so that their physical address is their address.
#include "guests/kernel/paging.h"

#include "guests/kernel/console.h"

namespace postern::guests {
namespace {

struct alignas(4096) Table {
    u64 entries[512];
};

constexpr u64 present_writable_user = 0x7;
constexpr u64 address_bits = 0x000f'ffff'ffff'f000;
constexpr u32 pool_size = 32;

extern "C" Table kernel_pml4;
Table pool[pool_size];
u32 used;

Table& table_below(u64& entry) {
    if ((entry & 1) == 0) {
        if (used == pool_size) fail(Line{} << "no page table left in the kernel's pool");
        entry = reinterpret_cast<u64>(&pool[used++]) | present_writable_user;
    }
    return *reinterpret_cast<Table*>(entry & address_bits);
}

}  // namespace

void map_page(u64 linear, u64 physical, PageFlags flags) {
    Table* table = &kernel_pml4;
    for (u32 shift = 39; shift > 12; shift -= 9)
        table = &table_below(table->entries[linear >> shift & 511]);
    table->entries[linear >> 12 & 511] = physical | flags;
}

}  // namespace postern::guests
