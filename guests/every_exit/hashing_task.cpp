// SPDX-License-Identifier: Apache-2.0
// The second task. It compares each digest with the first that it made, before it had company.
// It is the only part of this runtime that uses SSE2: its registers are to stay its own.
#include "guests/enclave_layout.h"
#include "guests/every_exit/abi.h"
#include "guests/every_exit/hostile.h"
#include "guests/runtime/system.h"
#include "guests/sha256.h"

namespace postern::guests {
namespace {

constexpr u64 buffer_size = 512;

u8 buffer[buffer_size];
u8 first_digest[32];
volatile u64 digests, right;
alignas(16) u8 task_stack[4096];

/// In the middle of each block the other task may have its turn; what is in registers stays.
inline void yield() {
    u64 call = static_cast<u64>(ScenarioCall::yield);
    asm volatile("int 0x80" : "+a"(call) : : "memory");
}

void hash(u8 (&digest)[32]) {
    Sha256 sha;
    for (u64 at = 0; at < buffer_size; at += 64) {
        sha.add(buffer + at, 64);
        yield();
    }
    sha.finish(digest);
}

bool is_first(const u8 (&digest)[32]) {
    u8 difference = 0;
    for (u32 i = 0; i < sizeof digest; ++i)
        difference = static_cast<u8>(difference | (digest[i] ^ first_digest[i]));
    return difference == 0;
}

[[noreturn]] void run_task() {
    for (;;) {
        u8 digest[32];
        hash(digest);
        digests = digests + 1;
        if (is_first(digest)) right = right + 1;
    }
}

}  // namespace

void start_hashing_task() {
    for (u64 i = 0; i < buffer_size; ++i) buffer[i] = layout::pattern_byte(i);
    digests = 0;
    right = 0;
    hash(first_digest);
    print((Line{} << "@hostile.b_first_digest=").bytes(first_digest, sizeof first_digest));
    // The stack of a function that was called, not jumped to.
    const u64 stack = reinterpret_cast<u64>(task_stack + sizeof task_stack - 8);
    system_call(static_cast<Call>(ScenarioCall::start_task), reinterpret_cast<u64>(run_task),
                stack);
}

Hashed stop_hashing_task() {
    system_call(static_cast<Call>(ScenarioCall::stop_task));
    return {digests, right};
}

}  // namespace postern::guests
