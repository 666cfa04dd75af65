// SPDX-License-Identifier: Apache-2.0
// The block cache: a hash table for finding, a list for each page for dropping, an arena.
#include "cpu/decode/block_cache.h"

#include <algorithm>

#include "cpu/mmu/access.h"

namespace postern::cpu {

BlockCache::BlockCache() : table_(slots, nullptr) {}

unsigned BlockCache::slot_of(const u8* host, u32 mode) {
    const u64 key = reinterpret_cast<u64>(host) * 0x9e37'79b9'7f4a'7c15u;
    return static_cast<unsigned>((key >> 40) ^ mode) % slots;
}

u64 BlockCache::page_of(const u8* host) { return reinterpret_cast<u64>(host) & ~(page_size - 1); }

Block* BlockCache::find(const u8* host, u32 mode) const {
    for (Block* b = table_[slot_of(host, mode)]; b != nullptr; b = b->next_same_slot)
        if (b->host == host && b->mode == mode) return b;
    return nullptr;
}

bool BlockCache::has_code(const u8* bytes) const { return pages_.contains(page_of(bytes)); }

namespace {

/// From now on stores to the page must come by the slow path: no TLB may let one through.
void protect_page(Cpu& c, u64 host_page) {
    for (Tlb& tlb : c.tlbs)
        for (unsigned n = 0; n < tlb.filled_count; ++n) {
            const unsigned slot = tlb.filled[n];
            if (tlb.entry[slot].page == host_page) tlb.entry[slot].write = tlb_no_tag(slot);
        }
}

}  // namespace

void BlockCache::insert(Cpu& c, Block* block) {
    const u64 page = page_of(block->host);
    if (!pages_.contains(page)) protect_page(c, page);
    Block*& in_page = pages_[page];
    block->next_same_page = in_page;
    in_page = block;
    if (block->second_page != nullptr) {
        const u64 second = page_of(block->second_page);
        if (!pages_.contains(second)) protect_page(c, second);
        pages_.try_emplace(second, nullptr);
        crossing_.push_back(block);
    }
    Block*& in_slot = table_[slot_of(block->host, block->mode)];
    block->next_same_slot = in_slot;
    in_slot = block;
}

void BlockCache::unlink(Block* block) {
    Block** at = &table_[slot_of(block->host, block->mode)];
    while (*at != block) at = &(*at)->next_same_slot;
    *at = block->next_same_slot;
}

void BlockCache::drop_page(Cpu& c, const u8* bytes) {
    const u64 page = page_of(bytes);
    // Blocks of other pages whose last instruction runs into this one.
    std::erase_if(crossing_, [&](Block* b) {
        const bool own = page_of(b->host) == page;
        if (!own && page_of(b->second_page) != page) return false;
        if (!own) {
            Block** at = &pages_[page_of(b->host)];
            while (*at != b) at = &(*at)->next_same_page;
            *at = b->next_same_page;
            unlink(b);
        }
        return true;
    });
    for (Block* b = pages_[page]; b != nullptr; b = b->next_same_page) unlink(b);
    pages_.erase(page);
    ++c.code_epoch;
    select_tlb(c);
}

void BlockCache::drop_all(Cpu& c) {
    std::fill(table_.begin(), table_.end(), nullptr);
    pages_.clear();
    crossing_.clear();
    chunks_.clear();
    used_in_chunk_ = chunk_size;
    ++c.code_epoch;
    select_tlb(c);
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

}  // namespace postern::cpu
