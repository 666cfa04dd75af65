// SPDX-License-Identifier: Apache-2.0
// Thunks: the guest's own SIMD instruction, re-encoded for fixed registers, between loads from
// and stores to the processor's state. Which registers the guest named is in the Insn, so one
// thunk serves all of them. A thunk without a memory operand is a handler by itself.
#pragma once

#include "cpu/decode/decoded.h"
#include "cpu/insn.h"

namespace postern::cpu {

/// `memory` is the memory operand in the host: aligned to 16 bytes where the instruction wants it.
using Thunk = Step (*)(Cpu&, const Insn*, void* memory);

/// The thunk for the instruction, which goes on to the next Insn when it is done; null if it
/// cannot be re-encoded. Insn::dst and Insn::src say which registers: see take_simd_registers().
Thunk find_thunk(const Decoded& d);

/// The registers a thunk wants to find in the Insn: operand 0's in dst, the later one's in src.
/// Vector registers by number, general ones by row.
void take_simd_registers(const Decoded& d, Insn& i);

/// Where SIGFPE leads to from a thunk, with its arguments: #XM, and nothing has been stored.
/// SDM 1, "SIMD Floating-Point Exception Handling Mechanism" ("#UD if CR4.OSXMMEXCPT is 0").
Step simd_exception(Cpu& c, const Insn* i);

/// Is the mnemonic in mnemonics.def as one that the host's units execute exactly?
constexpr bool is_simd_exact(ZydisMnemonic mnemonic) {
    switch (mnemonic) {
#define SIMD(name, feature) case ZYDIS_MNEMONIC_##name: return true;
#define SIMD_OR_STRING(name, feature) case ZYDIS_MNEMONIC_##name: return true;
#define SIMD_INTEGER(name, feature) case ZYDIS_MNEMONIC_##name: return true;
#include "cpu/simd/mnemonics.def"
        default: return false;
    }
}

}  // namespace postern::cpu
