// SPDX-License-Identifier: Apache-2.0
// Asynchronous exits by request (--interrupt-enclave): after which instructions of enclaves one is
// due. What happens then is the run loop's and poll()'s affair.
//
// An instruction counts when it has retired in enclave mode, on whatever processor: EEXIT does,
// EENTER and ERESUME do not, one that faults does not, and a repeated string instruction counts
// once for each iteration, because there is a boundary after each. Processors take turns, so the
// count of all of them together is well defined.
#pragma once

#include <type_traits>

#include "base/types.h"

namespace postern::cpu {
struct Cpu;
}

namespace postern::cpu::sgx {

/// Standard layout, saved with the EPC.
struct Interruptions {
    enum class When : u64 {
        never,
        every,      // N: after each N-th instruction
        at,         // N: once, after the N-th
        scattered,  // N: a seed; at distances that distance_to_next() draws
    };
    static constexpr u64 none = ~u64{0};
    static constexpr u64 nobody = ~u64{0};

    When when = When::never;
    u64 number = 0;   // N
    u64 retired = 0;  // instructions since this was asked for
    u64 due = none;   // of `retired`
    u64 drawn = 0;    // distances so far
    u64 given = 0;
    u64 pending_on = nobody;  // the processor that stands where one is due
    u64 host_tick = 0;        // hosted: one was taken, as the host's interrupt: host/ticks.h
};
static_assert(std::is_standard_layout_v<Interruptions> &&
              std::is_trivially_copyable_v<Interruptions>);

/// From here on these. If they are what was asked for before, they go on.
void set_interruptions(Interruptions& interruptions, Interruptions::When when, u64 number);

/// How many instructions may retire until the next is due. At least 1: one that could not be taken
/// where it was due (the enclave had just been left) is taken after the next instruction.
u64 instructions_to_next(const Interruptions& interruptions);

/// So many have retired. True: an interruption is due.
bool note_retired(Interruptions& interruptions, u64 count);

/// One has been taken.
void note_taken(Interruptions& interruptions);

// For the run loop, which calls these only in enclave mode, so that they cost nothing elsewhere.

/// Its next slice must not be longer.
u64 instructions_to_interruption(const Cpu& c);

/// The slice that began in enclave mode retired so many.
void count_retired(Cpu& c, u64 count);

/// For poll(): one is due at this boundary. The next has to wait for its own.
bool take_interruption(Cpu& c);

/// Number `index` of the distances that `seed` leads to, from 1 to 16383: its binary magnitude is
/// uniform (of 14), and so is the distance within it. The mean is 1755; one in seven is below 4.
/// A distance is counted from where the one before was taken.
u64 distance_to_next(u64 seed, u64 index);

}  // namespace postern::cpu::sgx
