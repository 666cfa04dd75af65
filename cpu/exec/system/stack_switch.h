// SPDX-License-Identifier: Apache-2.0
// The stack that a call gate or an event's gate pushes on: that of an inner privilege level, from
// the TSS, or the current one. Nothing of the processor changes before use_stack().
#pragma once

#include <span>

#include "base/result.h"
#include "cpu/cpu.h"
#include "cpu/mmu/access.h"

namespace postern::cpu {

struct StackTarget {
    Segment segment;
    u64 descriptor;  // of an inner stack outside IA-32e mode
    u64 pointer;
    unsigned privilege;
    u32 error;  // of the #SS for a stack that is too small
    bool inner;
};

/// The stack of CPL `privilege` as the 16- or 32-bit TSS has it, checked: #TS, #SS. SDM 2A, "CALL",
/// "INT n/INTO/INT3/INT1", Operation. Outside IA-32e mode.
Result<> find_inner_stack(Cpu& c, unsigned privilege, u32 external, StackTarget& stack);
/// The current one. Outside IA-32e mode.
StackTarget current_stack(const Cpu& c, u32 external);

/// Pushes `words` of `size` bytes each, the first one first; all or nothing.
Result<> push_words(Cpu& c, StackTarget& stack, std::span<const u64> words, unsigned size);

/// SS and the stack pointer; CPL is the new one by now.
void use_stack(Cpu& c, const StackTarget& stack);

}  // namespace postern::cpu
