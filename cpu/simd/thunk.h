// SPDX-License-Identifier: Apache-2.0
// Thunks: the guest's own SIMD instruction, re-encoded for fixed registers, between loads from
// and stores to the processor's state. Which registers the guest named is in the Insn, so one
// thunk serves all of them. A thunk without a memory operand is a handler by itself.
#pragma once

#include <algorithm>

#include "cpu/decode/decoded.h"
#include "cpu/insn.h"

namespace postern::cpu {

/// How a thunk with a memory operand is called: `memory` is that operand in the host, aligned to
/// 16 bytes where the instruction wants it. One without is a Handler.
using MemoryThunk = Step (*)(Cpu&, const Insn*, void* memory);

class Emitter;

/// Where a thunk begins, and where it does behind its guard (cpu/simd/emitter.h); the same if it
/// has none. Null: it cannot be made.
struct Thunk {
    const void* entry = nullptr;
    const void* code = nullptr;
};

/// The thunk for the instruction, which goes on to the next Insn when it is done. It finds the
/// registers in Insn::dst and Insn::src, but for MMX registers, which are in the unit. The same
/// instruction must always be asked for with the same guard.
Thunk find_thunk(const Decoded& d, bool guarded);
Thunk place_thunk(const Emitter& code, bool guarded);

/// Does the instruction make MMX registers of the x87 registers? CVTPI2PS and CVTPI2PD from memory
/// do not, though 2A, "CVTPI2PS" does not except them. SDM 1, "Effect of MMX Instructions on the
/// x87 FPU State", and 2A, "CVTPI2PD".
bool uses_mmx(const Decoded& d);

/// The registers a thunk wants to find in the Insn: operand 0's in dst, the later one's in src.
/// Vector registers by number, general ones by row.
void take_simd_registers(const Decoded& d, Insn& i);

/// Where SIGFPE leads to from a thunk, with its arguments: #XM, and nothing has been stored.
/// SDM 1, "SIMD Floating-Point Exception Handling Mechanism" ("#UD if CR4.OSXMMEXCPT is 0").
Step simd_exception(Cpu& c, const Insn* i);

/// The mnemonics of mnemonics.def that the host's units execute exactly.
inline constexpr ZydisMnemonic simd_exact[] = {
#define SIMD(mnemonic, feature) ZYDIS_MNEMONIC_##mnemonic,
#define SIMD_OR_STRING(mnemonic, feature) ZYDIS_MNEMONIC_##mnemonic,
#define SIMD_INTEGER(mnemonic, feature) ZYDIS_MNEMONIC_##mnemonic,
#define SIMD_MMX(mnemonic, feature) ZYDIS_MNEMONIC_##mnemonic,
#include "cpu/simd/mnemonics.def"
};

constexpr bool is_simd_exact(ZydisMnemonic mnemonic) {
    return std::ranges::find(simd_exact, mnemonic) != std::ranges::end(simd_exact);
}

}  // namespace postern::cpu
