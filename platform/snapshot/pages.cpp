// SPDX-License-Identifier: Apache-2.0
// A piece: its number, which of its pages are there, the size of what follows, and those pages
// one after another as one zstd frame.
#include "platform/snapshot/pages.h"

#include <sys/mman.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <bit>

#include "base/address.h"

namespace postern::platform::snapshot {
namespace {

constexpr unsigned piece_pages = 256;
constexpr int level = 1;

struct PieceHeader {
    u32 number;
    u32 packed_size;
    std::array<u64, piece_pages / 64> present;

    [[nodiscard]] bool has(unsigned page) const {
        return (present[page / 64] >> page % 64 & 1) != 0;
    }
    void add(unsigned page) { present[page / 64] |= u64{1} << page % 64; }
    [[nodiscard]] unsigned pages() const {
        unsigned count = 0;
        for (const u64 word : present) count += static_cast<unsigned>(std::popcount(word));
        return count;
    }
};
static_assert(Plain<PieceHeader>);

void pack_piece(Bytes& to, PieceHeader& header, const Bytes& pages) {
    const size_t start = to.size();
    const size_t most = ZSTD_compressBound(pages.size());
    to.resize(start + sizeof header + most);
    // It fails only for want of room or memory; the room is what zstd asked for.
    const size_t packed =
        ZSTD_compress(&to[start + sizeof header], most, pages.data(), pages.size(), level);
    header.packed_size = static_cast<u32>(packed);
    std::memcpy(&to[start], &header, sizeof header);
    to.resize(start + sizeof header + packed);
}

/// `memory` (null: nothing is stored) has `room` pages from the piece's first on.
bool unpack_piece(const PieceHeader& header, View packed, u8* memory, u64 room) {
    const unsigned count = header.pages();
    Bytes pages(count * page_size);
    const size_t size = ZSTD_decompress(pages.data(), pages.size(), packed.data(), packed.size());
    if (ZSTD_isError(size) != 0 || size != pages.size() || count == 0) return false;
    const u8* next = pages.data();
    for (unsigned page = 0; page < piece_pages; ++page) {
        if (!header.has(page)) continue;
        if (page >= room) return false;
        if (memory != nullptr) std::memcpy(memory + page * page_size, next, page_size);
        next += page_size;
    }
    return true;
}

/// Into zeros, or nowhere (null).
bool unpack(View packed, u8* memory, u64 size) {
    const u64 total = size / page_size;
    Cursor cursor{packed};
    u64 least = 0;  // pieces come in order, each once
    while (cursor.left() != 0) {
        PieceHeader header{};
        View bytes;
        if (!cursor.take(header) || !cursor.take(header.packed_size, bytes)) return false;
        const u64 first = u64{header.number} * piece_pages;
        if (header.number < least || first >= total) return false;
        u8* const to = memory != nullptr ? memory + first * page_size : nullptr;
        if (!unpack_piece(header, bytes, to, total - first)) return false;
        least = u64{header.number} + 1;
    }
    return true;
}

}  // namespace

bool is_zero_page(const u8* page) {
    u64 word = 0;
    std::memcpy(&word, page, sizeof word);
    return word == 0 && std::memcmp(page, page + sizeof word, page_size - sizeof word) == 0;
}

Bytes pack_pages(const u8* memory, u64 size) {
    const u64 total = size / page_size;
    Bytes packed;
    Bytes pages;
    for (u64 first = 0; first < total; first += piece_pages) {
        PieceHeader header{static_cast<u32>(first / piece_pages), 0, {}};
        pages.clear();
        const auto count = static_cast<unsigned>(std::min<u64>(piece_pages, total - first));
        for (unsigned n = 0; n < count; ++n) {
            const u8* const page = memory + (first + n) * page_size;
            if (is_zero_page(page)) continue;
            header.add(n);
            append(pages, {page, page_size});
        }
        if (!pages.empty()) pack_piece(packed, header, pages);
    }
    return packed;
}

bool plausible_pages(View packed, u64 size) { return unpack(packed, nullptr, size); }

void restore_pages(View packed, u8* memory, u64 size) {
    // Private memory of the host comes back as zeros.
    if (madvise(memory, size, MADV_DONTNEED) != 0) std::memset(memory, 0, size);
    static_cast<void>(unpack(packed, memory, size));
}

}  // namespace postern::platform::snapshot
