// SPDX-License-Identifier: Apache-2.0
// One record for each filled slot. Which write tags are withheld is not saved: it depends on the
// code that is cached, and after loading none is.
#include "platform/snapshot/translations.h"

#include "cpu/decode/block_cache.h"
#include "cpu/mmu/access.h"
#include "cpu/sgx/epc.h"

namespace postern::platform::snapshot {
namespace {

using cpu::Cpu;
using cpu::System;
using cpu::Tlb;

enum class Where : u32 { nowhere, ram, epc };

/// A page of the machine's memory.
struct Place {
    u64 offset;
    Where where;
    u32 reserved;
};

struct Translation {
    u64 linear;  // of the page
    Place to;
    u32 flags;    // cpu::TlbFlag
    u32 context;  // by space, then by cpu::TlbContext
};
static_assert(Plain<Place> && Plain<Translation>);

constexpr u32 contexts = cpu::tlb_spaces * cpu::tlb_contexts;
constexpr u32 access_flags = cpu::tlb_reads | cpu::tlb_writes | cpu::tlb_executes;
constexpr u32 all_flags = access_flags | cpu::tlb_global | cpu::tlb_large;

u64 ram_size(const System& system) { return system.memory.low_size + system.memory.high_size; }
u64 epc_size(const System& system) { return system.epc != nullptr ? system.epc->size : 0; }

/// `nowhere` for a page that is not the machine's (what EPC looks like from outside).
Place place_of(u64 host_page, const System& system) {
    const u64 in_ram = host_page - reinterpret_cast<u64>(system.memory.ram);
    if (in_ram < ram_size(system)) return {in_ram, Where::ram, 0};
    if (system.epc == nullptr) return {};
    const u64 in_epc = host_page - reinterpret_cast<u64>(system.epc->bytes);
    return in_epc < epc_size(system) ? Place{in_epc, Where::epc, 0} : Place{};
}

u8* host_page(const Place& place, const System& system) {
    u8* const base = place.where == Where::ram ? system.memory.ram : system.epc->bytes;
    return base + place.offset;
}

bool is_plausible(const Place& place, const System& system) {
    if (place.offset % page_size != 0) return false;
    switch (place.where) {
        case Where::nowhere: return place.offset == 0;
        case Where::ram: return place.offset < ram_size(system);
        case Where::epc: return place.offset < epc_size(system);
    }
    return false;
}

bool is_plausible(const Translation& t, const System& system) {
    return is_plausible(t.to, system) && t.to.where != Where::nowhere &&
           t.linear % page_size == 0 && (t.flags & access_flags) != 0 &&
           (t.flags & ~all_flags) == 0 && t.context < contexts;
}

}  // namespace

Bytes save_translations(const Cpu& c) {
    const System& system = *c.system;
    Bytes bytes;
    Place code{};
    if (c.code_page != cpu::no_code_page)
        code = place_of(reinterpret_cast<u64>(c.code_host), system);
    append(bytes, bytes_of(code));
    for (u32 context = 0; context < contexts; ++context) {
        const Tlb& tlb =
            c.translations[context / cpu::tlb_contexts].tlb[context % cpu::tlb_contexts];
        if (tlb.filled_count == 0) continue;
        for (unsigned slot = 0; slot < cpu::tlb_entries; ++slot) {
            const cpu::TlbInfo& info = tlb.info[slot];
            if ((info.flags & access_flags) == 0) continue;
            const Translation t{info.linear, place_of(tlb.entry[slot].page, system),
                                info.flags & all_flags, context};
            append(bytes, bytes_of(t));
        }
    }
    return bytes;
}

bool plausible_translations(View bytes, const System& system) {
    Cursor cursor{bytes};
    Place code{};
    if (!cursor.take(code) || !is_plausible(code, system)) return false;
    Translation t{};
    while (cursor.left() != 0)
        if (!cursor.take(t) || !is_plausible(t, system)) return false;
    return true;
}

void forget_translations(Cpu& c) {
    const u64 code_page = c.code_page;
    cpu::reset_tlbs(c);
    c.blocks->drop_all(c);
    cpu::select_tlb(c);
    c.code_page = code_page;
}

void insert_translations(Cpu& c, View bytes) {
    const System& system = *c.system;
    Cursor cursor{bytes};
    Place code{};
    static_cast<void>(cursor.take(code));
    if (code.where == Where::nowhere)
        c.code_page = cpu::no_code_page;
    else
        c.code_host = host_page(code, system);
    Translation t{};
    while (cursor.take(t)) {
        const u8* const page = host_page(t.to, system);
        auto& space = cpu::prepared_space(c, t.context / cpu::tlb_contexts);
        space.tlb[t.context % cpu::tlb_contexts].insert(t.linear, reinterpret_cast<u64>(page),
                                                        t.flags, !cpu::withholds_writes(c, page));
    }
}

}  // namespace postern::platform::snapshot
