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
    mode_emulation = 0x80,   // CR0.EM: x87 is #NM, MMX is #UD
    mode_code_16 = 0x100,    // default operand and address size; neither: 64-bit mode
    mode_code_32 = 0x200,
    mode_real = 0x400,    // CR0.PE = 0
    mode_ia32e = 0x800,   // with mode_code_16 or mode_code_32: compatibility mode
    mode_avx_off = 0x10,  // CR4.OSXSAVE = 0, or SSE or AVX not in XCR0: AVX is #UD
};
inline constexpr u32 mode_legacy = mode_code_16 | mode_code_32;  // any: not 64-bit mode

inline constexpr unsigned block_max_instructions = 64;

struct Block {
    const u8* host;         // the first byte
    const u8* second_page;  // first byte of the page a last instruction runs into, or null
    u32 mode;
    u16 count;    // instructions
    u16 bytes;    // from the first byte on, those in the second page included
    Insn* entry;  // entry[0] takes the time and goes on to entry[1], the first instruction
    Block* next_same_slot;
    Block* next_same_page;
};

/// Where a direct jump leads, once known. It holds as long as `stamp` is Cpu::code_epoch, and for
/// a jump out of the page as long as the TLB leads fetches from the target to `page`.
struct Link {
    const Insn* entry;
    u64 stamp;
    u64 page;
};

/// Both ways out of a block that ends in a direct jump; Insn::aux of its last instruction.
struct Links {
    Link taken;
    Link not_taken;
};

/// Where an indirect jump leads; `stamp` is Cpu::mode_stamp.
struct JumpTarget {
    u64 linear;
    u64 stamp;
    const Insn* entry;
    u64 page;
};

class BlockCache {
public:
    BlockCache();
    BlockCache(const BlockCache&) = delete;
    BlockCache& operator=(const BlockCache&) = delete;

    /// The block for code at `host` in `mode`, or null.
    [[nodiscard]] Block* find(const u8* host, u32 mode) const;
    void insert(Cpu& c, Block* block);

    /// Anywhere in the page of `bytes`.
    [[nodiscard]] bool has_code(const u8* bytes) const;
    /// In the 64-byte pieces that these bytes touch; all in one page.
    [[nodiscard]] bool has_code_in(const u8* bytes, u64 size) const;
    /// Call before a store to memory that may hold code cached by any processor; the bytes lie in
    /// one page.
    void about_to_write(Cpu& c, const u8* bytes, u64 size);
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
    static constexpr unsigned slots = 1u << 16;
    static constexpr size_t chunk_size = size_t{1} << 20;
    static constexpr size_t arena_limit = size_t{128} << 20;

    struct CodePage {
        Block* first = nullptr;
        u64 pieces = 0;  // a bit for each 64 bytes that hold cached code
    };

    static unsigned slot_of(const u8* host, u32 mode);
    static u64 page_of(const u8* host);
    static u64 pieces_of(u64 offset, u64 size);
    void* allocate_bytes(size_t bytes);
    void forget(Cpu& c);
    void unlink(Block* block);
    void unlink_from_page(Block* block);
    void add_code(Cpu& c, u64 page, u64 pieces);

    static unsigned bucket_of(u64 page) { return static_cast<unsigned>(page >> 12) % buckets; }
    static constexpr unsigned buckets = 1u << 13;

    std::vector<Block*> table_;
    std::vector<u16> pages_in_;  // by bucket: most pages hold no code, and are asked for often
    std::unordered_map<u64, CodePage> pages_;  // by host page
    std::vector<Block*> crossing_;             // blocks that run into a second page
    std::vector<std::unique_ptr<u8[]>> chunks_;
    size_t used_in_chunk_ = chunk_size;
};

/// For writers that are no processor (devices): drops what any processor has cached of these
/// bytes and wakes those that monitor them. The bytes lie in one page.
void about_to_write(System& system, const u8* bytes, u64 size);

/// From now on stores to the host page `page` come by the slow path, on every processor.
void withhold_writes(Cpu& c, u64 page);

/// Must stores to the page come by the slow path? (Code cached by any processor, a monitored line.)
bool withholds_writes(const Cpu& c, const u8* bytes);

}  // namespace postern::cpu
