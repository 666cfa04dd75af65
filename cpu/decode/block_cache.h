// SPDX-License-Identifier: Apache-2.0
// Decoded code, keyed by where its bytes lie in host memory and by the mode it was decoded for. A
// store into a page with cached code drops that page's blocks; their memory lives on until the
// run loop is between blocks, because one of them may be running.
#pragma once

#include <memory>
#include <unordered_map>
#include <vector>

#include "cpu/cpu.h"

namespace postern::cpu {

/// What decoded code depends on beside its bytes. Bits of the mode word.
enum BlockMode : u32 {
    mode_enclave = 1,        // instructions illegal in an enclave are #UD
    mode_single = 2,         // blocks of one instruction: shadows, TF, the end of a time slice
    mode_sse_off = 4,        // CR0.EM, or CR4.OSFXSR = 0: SSE is #UD
    mode_task_switched = 8,  // CR0.TS: SSE and x87 are #NM
};

inline constexpr unsigned block_max_instructions = 64;

struct Block {
    const u8* host;         // the first byte
    const u8* second_page;  // first byte of the page a last instruction runs into, or null
    u32 mode;
    u16 count;    // instructions
    Insn* entry;  // entry[0] takes the time and goes on to entry[1], the first instruction
    Block* next_same_slot;
    Block* next_same_page;
};

/// Where a direct jump leads, once known. `stamp` tells whether it still holds.
struct Link {
    const Insn* entry;
    u64 stamp;
};

/// Both ways out of a block that ends in a direct jump; Insn::aux of its last instruction.
struct Links {
    Link taken;
    Link not_taken;
};

struct JumpTarget {
    u64 linear;
    u64 stamp;
    const Insn* entry;
};

class BlockCache {
public:
    BlockCache();
    BlockCache(const BlockCache&) = delete;
    BlockCache& operator=(const BlockCache&) = delete;

    /// The block for code at `host` in `mode`, or null.
    [[nodiscard]] Block* find(const u8* host, u32 mode) const;
    void insert(Cpu& c, Block* block);

    [[nodiscard]] bool has_code(const u8* bytes) const;
    /// Call before a store to memory that may hold cached code.
    void about_to_write(Cpu& c, const u8* bytes) {
        if (has_code(bytes)) [[unlikely]]
            drop_page(c, bytes);
    }
    void drop_page(Cpu& c, const u8* bytes);
    void drop_all(Cpu& c);

    /// Between blocks: drops everything once the arena has grown past its limit.
    void collect(Cpu& c);

    /// Memory for decoded instructions and blocks; lives until drop_all().
    template <class T>
    T* allocate(size_t count) {
        return static_cast<T*>(allocate_bytes(count * sizeof(T)));
    }

    static constexpr unsigned jump_targets = 4096;
    static unsigned jump_slot(u64 linear) {
        return static_cast<unsigned>(linear ^ linear >> 12) % jump_targets;
    }
    std::array<JumpTarget, jump_targets> jumps{};

private:
    static constexpr unsigned slots = 1u << 15;
    static constexpr size_t chunk_size = size_t{1} << 20;
    static constexpr size_t arena_limit = size_t{128} << 20;

    static unsigned slot_of(const u8* host, u32 mode);
    static u64 page_of(const u8* host);
    void* allocate_bytes(size_t bytes);
    void unlink(Block* block);

    std::vector<Block*> table_;
    std::unordered_map<u64, Block*> pages_;  // host page -> its blocks
    std::vector<Block*> crossing_;           // blocks that run into a second page
    std::vector<std::unique_ptr<u8[]>> chunks_;
    size_t used_in_chunk_ = chunk_size;
};

}  // namespace postern::cpu
