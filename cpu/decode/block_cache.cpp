// SPDX-License-Identifier: Apache-2.0
// The block cache: a hash table for finding, a list for each page for dropping, an arena.
#include "cpu/decode/block_cache.h"

#include <algorithm>

#include "cpu/mmu/access.h"
#include "cpu/mmu/monitor.h"

namespace postern::cpu {

BlockCache::BlockCache() : table_(slots, nullptr), pages_in_(buckets, 0) {}

unsigned BlockCache::slot_of(const u8* host, u32 mode) {
    const u64 key = reinterpret_cast<u64>(host) * 0x9e37'79b9'7f4a'7c15u;
    return static_cast<unsigned>((key >> 40) ^ mode) % slots;
}

u64 BlockCache::page_of(const u8* host) { return reinterpret_cast<u64>(host) & ~(page_size - 1); }

u64 BlockCache::pieces_of(u64 offset, u64 size) {
    const u64 first = offset / 64;
    const u64 last = (offset + size - 1) / 64;
    return (~u64{0} << first) & (~u64{0} >> (63 - (last < 63 ? last : 63)));
}

Block* BlockCache::find(const u8* host, u32 mode) const {
    for (Block* b = table_[slot_of(host, mode)]; b != nullptr; b = b->next_same_slot)
        if (b->host == host && b->mode == mode) return b;
    return nullptr;
}

bool BlockCache::has_code(const u8* bytes) const {
    const u64 page = page_of(bytes);
    return pages_in_[bucket_of(page)] != 0 && pages_.contains(page);
}

bool BlockCache::has_code_in(const u8* bytes, u64 size) const {
    if (pages_in_[bucket_of(page_of(bytes))] == 0) return false;
    const auto found = pages_.find(page_of(bytes));
    if (found == pages_.end()) return false;
    return (found->second.pieces & pieces_of(reinterpret_cast<u64>(bytes) % page_size, size)) != 0;
}

namespace {

/// f for every processor of the machine; a processor that no machine knows stands for itself.
template <class F>
void for_each_processor(Cpu& c, F f) {
    if (c.system == nullptr || c.system->processor_count < 2) return f(c);
    for (unsigned n = 0; n < c.system->processor_count; ++n) f(*c.system->processors[n]);
}

}  // namespace

void withhold_writes(Cpu& c, u64 host_page) {
    for_each_processor(
        c, [&](Cpu& p) { for_each_tlb(p, [&](Tlb& tlb) { tlb.withhold_writes(host_page); }); });
}

void BlockCache::add_code(Cpu& c, u64 page, u64 pieces) {
    const auto [at, added] = pages_.try_emplace(page);
    if (added) {
        ++pages_in_[bucket_of(page)];
        withhold_writes(c, page);
    }
    at->second.pieces |= pieces;
}

void BlockCache::insert(Cpu& c, Block* block) {
    const u64 page = page_of(block->host);
    if (c.system != nullptr && c.system->engine.one_code_page && !pages_.contains(page)) forget(c);
    const u64 offset = reinterpret_cast<u64>(block->host) % page_size;
    const u64 inside = std::min<u64>(block->bytes, page_size - offset);
    add_code(c, page, pieces_of(offset, inside));
    Block*& in_page = pages_[page].first;
    block->next_same_page = in_page;
    in_page = block;
    if (block->second_page != nullptr) {
        add_code(c, page_of(block->second_page), 1);
        crossing_.push_back(block);
    }
    Block*& in_slot = table_[slot_of(block->host, block->mode)];
    block->next_same_slot = in_slot;
    in_slot = block;
}

/// Everything goes but the memory, which still holds the block that is being inserted.
void BlockCache::forget(Cpu& c) {
    std::fill(table_.begin(), table_.end(), nullptr);
    pages_.clear();
    std::fill(pages_in_.begin(), pages_in_.end(), u16{0});
    crossing_.clear();
    ++c.code_epoch;
}

void BlockCache::unlink(Block* block) {
    Block** at = &table_[slot_of(block->host, block->mode)];
    while (*at != block) at = &(*at)->next_same_slot;
    *at = block->next_same_slot;
}

void BlockCache::unlink_from_page(Block* block) {
    Block** at = &pages_[page_of(block->host)].first;
    while (*at != block) at = &(*at)->next_same_page;
    *at = block->next_same_page;
}

void BlockCache::drop_page(Cpu& c, const u8* bytes) {
    const u64 page = page_of(bytes);
    // Blocks of other pages whose last instruction runs into this one.
    std::erase_if(crossing_, [&](Block* b) {
        const bool own = page_of(b->host) == page;
        if (!own && page_of(b->second_page) != page) return false;
        if (!own) {
            unlink_from_page(b);
            unlink(b);
        }
        return true;
    });
    if (const auto found = pages_.find(page); found != pages_.end()) {
        for (Block* b = found->second.first; b != nullptr; b = b->next_same_page) unlink(b);
        pages_.erase(found);
        --pages_in_[bucket_of(page)];
    }
    ++c.code_epoch;
}

namespace {

void drop_written(Cpu& c, const u8* bytes, u64 size) {
    if (c.blocks->has_code_in(bytes, size)) [[unlikely]]
        c.blocks->drop_page(c, bytes);
}

}  // namespace

void BlockCache::about_to_write(Cpu& c, const u8* bytes, u64 size) {
    for_each_processor(c, [&](Cpu& p) { drop_written(p, bytes, size); });
    if (c.system != nullptr) wake_monitors(*c.system, &c, bytes, size);
}

void BlockCache::drop_all(Cpu& c) {
    forget(c);
    chunks_.clear();
    used_in_chunk_ = chunk_size;
}

void BlockCache::collect(Cpu& c) {
    if (chunks_.size() * chunk_size > arena_limit) drop_all(c);
}

void* BlockCache::allocate_bytes(size_t bytes) {
    constexpr size_t alignment = 64;
    const size_t rounded = (bytes + alignment - 1) & ~(alignment - 1);
    if (used_in_chunk_ + rounded > chunk_size) {
        chunks_.push_back(std::make_unique<u8[]>(chunk_size + alignment));
        used_in_chunk_ = 0;
        const auto start = reinterpret_cast<u64>(chunks_.back().get());
        used_in_chunk_ = (alignment - start % alignment) % alignment;
    }
    void* result = chunks_.back().get() + used_in_chunk_;
    used_in_chunk_ += rounded;
    return result;
}

void about_to_write(System& system, const u8* bytes, u64 size) {
    for (unsigned n = 0; n < system.processor_count; ++n)
        drop_written(*system.processors[n], bytes, size);
    wake_monitors(system, nullptr, bytes, size);
}

bool withholds_writes(const Cpu& c, const u8* bytes) {
    if (c.blocks->has_code(bytes)) return true;
    if (c.system == nullptr || c.system->processor_count < 2) return false;
    for (unsigned n = 0; n < c.system->processor_count; ++n)
        if (c.system->processors[n]->blocks->has_code(bytes)) return true;
    return is_monitored_page(*c.system, bytes);
}

}  // namespace postern::cpu
