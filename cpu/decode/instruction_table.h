// SPDX-License-Identifier: Apache-2.0
// The instruction table: one row a mnemonic says who builds its handler, what kind of thing it
// is, and what becomes of it inside an enclave. A mnemonic without a row is refused by name.
#pragma once

#include "cpu/decode/decoded.h"

namespace postern::cpu {

enum class InstructionClass : u8 {
    integer,        // our own arithmetic
    exact,          // on the host's units, the same on every host
    model_defined,  // the manual leaves it open: docs/model-defined.md
    state,          // saves, restores or initialises extended state: images made in software
    system,         // ends its block
    quiet,          // a system instruction that changes neither mode nor events: stays in its block
};

/// SDM 3D, "Illegal Instructions" (in an enclave). Forms of legal mnemonics that are illegal (far
/// branches, MOV and POP to segment registers) are refused by their builders.
enum class InEnclave : u8 {
    legal,
    illegal,    // #UD, before any VM exit
    with_sgx2,  // RDTSC, RDTSCP: #UD unless the model has SGX2
};

struct InstructionRow {
    ZydisMnemonic mnemonic;
    Build build;
    InstructionClass kind;
    InEnclave enclave;
};

/// Null: not implemented.
const InstructionRow* instruction_row(ZydisMnemonic mnemonic);

/// Handlers for what cannot run: #UD; and "not implemented", whose Insn::aux is the name.
Step undefined_instruction(Cpu& c, const Insn* i);
Step not_implemented(Cpu& c, const Insn* i);

}  // namespace postern::cpu
