// SPDX-License-Identifier: Apache-2.0
// Handlers of x87 instructions, and those of MMX instructions with a memory operand.
#pragma once

#include "cpu/decode/decoded.h"
#include "cpu/exec/fast.h"

namespace postern::cpu {

/// Whatever the host's x87 unit does exactly as the manual says (cpu/x87/mnemonics.def).
Handler build_x87(const Decoded& d, Insn& i, BlockCache& cache);

/// FPREM and FPREM1.
Handler build_x87_remainder(const Decoded& d, Insn& i, BlockCache& cache);

/// Instructions in software (cpu/x87/control.h, software.h): the operand's size, if any, is in imm.
template <Result<> (*exec)(Cpu&, const Insn&)>
Handler build_x87_state(const Decoded& d, Insn& i, BlockCache&) {
    if (d.instruction.operand_count_visible != 0) i.imm = d.size(0);
    return inside_block<exec>;
}

/// A handler that finds the operand and runs the thunk at Insn::aux with the guest's state in the
/// unit; null: no such size.
Handler pick_unit_memory(const Insn& i, unsigned size, bool is_aligned, bool is_store);

/// Does the instruction use the x87 unit, MMX instructions included?
bool uses_x87(const Decoded& d);

}  // namespace postern::cpu
