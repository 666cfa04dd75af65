// SPDX-License-Identifier: Apache-2.0
// Thunks off the fast path: their memory operand goes through a buffer, and the thunk runs on a
// copy of the Insn, whose successor hands control back.
#pragma once

#include "base/result.h"
#include "cpu/cpu.h"
#include "cpu/insn.h"
#include "cpu/simd/thunk.h"

namespace postern::cpu {

inline MemoryThunk thunk_of(const Insn* i) {
    return reinterpret_cast<MemoryThunk>(const_cast<void*>(i->aux));
}

constexpr bool is_misaligned(u64 linear) { return linear % 16 != 0; }

/// What #AC asks of an operand: a vector of 16 or 32 bytes is never checked, extended precision
/// like 8 bytes. SDM 3A, "Alignment Requirements by Data Type"; SDM 1, "Memory Alignment".
constexpr unsigned checked_alignment(unsigned size) {
    if (size == 10) return 8;
    return size <= 8 ? size : 1;
}

/// SDM 1, "Memory Alignment" of 128-bit operands: #GP(0) whatever the segment, even for an address
/// in the stack that is not canonical.
[[gnu::cold]] Step misaligned(Cpu& c, const Insn* i);

/// The thunk that starts at Insn::aux, and nothing after it. Step::next: it completed.
Step run_apart(Cpu& c, const Insn* i, void* memory);
Step run_apart(Cpu& c, const Insn* i, MemoryThunk thunk, void* memory);

// In chunks, as a device sees them; at most 32 bytes. A store of more than one chunk fails before
// the first byte.
Result<> load_operand(Cpu& c, Gva at, u8* to, unsigned size);
Result<> store_operand(Cpu& c, Gva at, const u8* from, unsigned size);

}  // namespace postern::cpu
