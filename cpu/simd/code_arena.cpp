// SPDX-License-Identifier: Apache-2.0
// The two mappings of run-time code.
#include "cpu/simd/code_arena.h"

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstring>

#include "base/bits.h"

namespace postern::cpu {
namespace {

// Pages are taken when touched. Thunks know no register numbers but those of MMX: a guest can
// cause some ten thousand different ones (opcodes times immediates, for MMX times 64), 128 bytes
// each at most.
constexpr size_t capacity = size_t{32} << 20;
constexpr size_t alignment = 16;

// Where the runnable mapping lies, for the signal handler.
std::atomic<u64> arena_begin = 0;

}  // namespace

CodeArena& CodeArena::instance() {
    static CodeArena arena;
    return arena;
}

CodeArena::CodeArena() {
    const int file = memfd_create("postern-code", MFD_CLOEXEC);
    if (file < 0) return;
    if (ftruncate(file, static_cast<off_t>(capacity)) == 0) {
        void* write = mmap(nullptr, capacity, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        void* run = mmap(nullptr, capacity, PROT_READ | PROT_EXEC, MAP_SHARED, file, 0);
        if (write != MAP_FAILED && run != MAP_FAILED) {
            writable_ = static_cast<u8*>(write);
            runnable_ = static_cast<u8*>(run);
            arena_begin = reinterpret_cast<u64>(run);
            // Sanitizers look at the bytes before a function.
            used_ = alignment;
        }
    }
    close(file);
}

const void* CodeArena::add(std::span<const u8> code) {
    if (runnable_ == nullptr || code.size() > capacity - used_) return nullptr;
    const size_t at = used_;
    std::memcpy(writable_ + at, code.data(), code.size());
    used_ = align_up(at + code.size(), alignment);
    return runnable_ + at;
}

bool CodeArena::contains(u64 address) {
    const u64 begin = arena_begin;
    return begin != 0 && address - begin < capacity;
}

}  // namespace postern::cpu
