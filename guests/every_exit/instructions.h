// SPDX-License-Identifier: Apache-2.0
// The instructions of instructions.def, for the enclave, ring 3 and the kernel alike: each runs the
// same bytes.
#pragma once

#include "guests/every_exit/abi.h"

namespace postern::guests {

#define INSTRUCTION(name, before, ...) name,
enum class Instruction : u64 {
#include "guests/every_exit/instructions.def"
};
#undef INSTRUCTION

/// One row of instruction_table, relative to itself.
struct InstructionPlace {
    i32 entry, start, end;

    [[nodiscard]] u64 first() const { return relative(start, 4); }
    [[nodiscard]] u64 after_last() const { return relative(end, 8); }

private:
    [[nodiscard]] u64 relative(i32 distance, u64 field) const {
        return reinterpret_cast<u64>(this) + field + static_cast<u64>(static_cast<i64>(distance));
    }
};
static_assert(sizeof(InstructionPlace) == 12);

#pragma GCC visibility push(hidden)
extern "C" const InstructionPlace instruction_table[];
extern "C" const InstructionPlace instruction_table_end[];

/// Runs instruction `number`; the registers are read before and written after.
extern "C" void run_instruction(ProbeRegisters* registers, u64 number);
#pragma GCC visibility pop

/// Where to go on when an event was met at `rip`: behind the instruction, whether it was
/// interrupted before (a fault) or after (a trap). 0: no instruction of the table is there.
inline u64 step_over(u64 rip) {
    for (const InstructionPlace* row = instruction_table; row != instruction_table_end; ++row)
        if (rip >= row->first() && rip <= row->after_last()) return row->after_last();
    return 0;
}

}  // namespace postern::guests
