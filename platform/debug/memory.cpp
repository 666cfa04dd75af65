// SPDX-License-Identifier: Apache-2.0
// A walk that only reads. SDM 3A, "Paging"; SDM 3C, "EPT Translation Mechanism".
#include "platform/debug/memory.h"

#include <algorithm>
#include <cstring>

#include "arch/paging.h"
#include "arch/vmx/ept.h"
#include "cpu/decode/block_cache.h"

namespace postern::platform {

namespace {

using cpu::Cpu;

std::optional<Hpa> through_ept(const Cpu& c, u64 guest_physical) {
    if (c.vmx.ept_pointer == 0) return Hpa{guest_physical};
    u64 table = Eptp::from_raw(c.vmx.ept_pointer).root();
    for (unsigned level = 4;; --level) {
        const u8* const at =
            c.system->memory.pointer(Hpa{table + 8 * u64{linear_index(guest_physical, level)}});
        if (at == nullptr) return {};
        u64 raw = 0;
        std::memcpy(&raw, at, sizeof raw);
        const auto entry = EptEntry::from_raw(raw);
        if (!entry.present()) return {};
        if (entry.is_leaf(level))
            return Hpa{entry.address(level) | (guest_physical & (page_bytes(level) - 1))};
        table = entry.address(level);
    }
}

/// A paging-structure entry of `size` bytes.
std::optional<u64> entry_at(const Cpu& c, u64 guest_physical, size_t size) {
    const auto at = through_ept(c, guest_physical);
    if (!at) return {};
    const u8* const bytes = c.system->memory.pointer(*at);
    if (bytes == nullptr) return {};
    u64 raw = 0;
    std::memcpy(&raw, bytes, size);
    return raw;
}

/// From the table of `level` down; for 4-level, 5-level and the lower two levels of PAE paging.
std::optional<u64> walk(const Cpu& c, u64 linear, u64 table, unsigned level) {
    for (;; --level) {
        const auto raw = entry_at(c, table + 8 * u64{linear_index(linear, level)}, 8);
        if (!raw) return {};
        const auto entry = PageEntry::from_raw(*raw);
        if (!entry.has(PageEntryBit::p)) return {};
        const u64 address = page_address(entry, level);
        if (is_page(entry, level)) return address | (linear & (page_bytes(level) - 1));
        table = address;
    }
}

std::optional<u64> walk_pae(const Cpu& c, u32 linear) {
    const u64 entry = c.pdpte[linear >> 30];
    if (!bit<0>(entry)) return {};
    return walk(c, linear, entry & bit_mask(51, 12), 2);
}

/// 32-bit paging. SDM 3A, "Linear-Address Translation with 32-Bit Paging".
std::optional<u64> walk_32(const Cpu& c, u32 linear) {
    const auto directory = entry_at(c, (c.cr3 & bit_mask(31, 12)) + 4 * u64{linear >> 22}, 4);
    if (!directory || !bit<0>(*directory)) return {};
    if (bit<7>(*directory) && c.cr4.has(Cr4::pse))
        return bits<31, 22>(*directory) << 22 | bits<20, 13>(*directory) << 32 |
               (linear & bit_mask(21, 0));
    const u64 at = (*directory & bit_mask(31, 12)) + 4 * u64{linear >> 12 & 0x3ff};
    const auto page = entry_at(c, at, 4);
    if (!page || !bit<0>(*page)) return {};
    return (*page & bit_mask(31, 12)) | (linear & bit_mask(11, 0));
}

std::optional<u64> guest_physical_of(const Cpu& c, u64 linear) {
    const bool long_mode = c.efer.has(Efer::lma);
    const auto low = static_cast<u32>(linear);
    if (!c.cr0.has(Cr0::pg)) return low;
    if (!c.cr4.has(Cr4::pae)) return walk_32(c, low);
    if (!long_mode) return walk_pae(c, low);
    const unsigned levels = c.cr4.has(Cr4::la57) ? 5 : 4;
    if (!is_canonical(linear, levels == 5 ? 57 : 48)) return {};
    return walk(c, linear, cr3_table(c.cr3), levels);
}

struct Piece {
    u8* bytes = nullptr;  // null: EPC
    size_t size = 0;      // to the end of the page; 0: nowhere
};

Piece piece_at(const Cpu& c, u64 linear) {
    const auto at = physical_of(c, linear);
    if (!at) return {};
    const cpu::PhysicalMemory& memory = c.system->memory;
    const size_t left = page_size - Gva{linear}.offset();
    if (memory.is_epc(*at)) return {nullptr, left};
    u8* const bytes = memory.pointer(*at);
    return {bytes, bytes == nullptr ? 0 : left};
}

}  // namespace

std::optional<Hpa> physical_of(const Cpu& c, u64 linear) {
    const auto guest_physical = guest_physical_of(c, linear);
    if (!guest_physical) return {};
    return through_ept(c, *guest_physical);
}

size_t peek(const Cpu& c, u64 linear, std::span<u8> to) {
    size_t done = 0;
    while (done < to.size()) {
        const Piece piece = piece_at(c, linear + done);
        const size_t count = std::min(piece.size, to.size() - done);
        if (count == 0) break;
        if (piece.bytes != nullptr)
            std::memcpy(&to[done], piece.bytes, count);
        else
            std::memset(&to[done], 0xff, count);
        done += count;
    }
    return done;
}

bool poke(const Cpu& c, u64 linear, std::span<const u8> from) {
    for (size_t done = 0; done < from.size();) {
        const Piece piece = piece_at(c, linear + done);
        if (piece.bytes == nullptr) return false;
        done += piece.size;
    }
    for (size_t done = 0; done < from.size();) {
        const Piece piece = piece_at(c, linear + done);
        const size_t count = std::min(piece.size, from.size() - done);
        cpu::about_to_write(*c.system, piece.bytes, count);
        std::memcpy(piece.bytes, &from[done], count);
        done += count;
    }
    return true;
}

}  // namespace postern::platform
