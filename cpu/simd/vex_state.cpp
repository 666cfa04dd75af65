// SPDX-License-Identifier: Apache-2.0
// VZEROUPPER and VZEROALL.
#include <cstring>

#include "cpu/exec/build.h"
#include "cpu/exec/fast.h"

namespace postern::cpu {
namespace {

/// Bytes `from` to 31 of the first `count` registers. SDM 2D, "VZEROUPPER" and "VZEROALL".
template <unsigned count, unsigned from>
Step vzero(Cpu& c, const Insn* i) {
    for (unsigned n = 0; n < count; ++n)
        std::memset(c.vector.zmm[n].bytes.data() + from, 0, 32 - from);
    NEXT(c, i);
}

}  // namespace

/// Outside 64-bit mode there are eight registers.
Handler build_vzero(const Decoded& d, Insn&, BlockCache&) {
    const bool all = d.instruction.mnemonic == ZYDIS_MNEMONIC_VZEROALL;
    if (d.instruction.machine_mode != ZYDIS_MACHINE_MODE_LONG_64)
        return all ? vzero<8, 0> : vzero<8, 16>;
    return all ? vzero<16, 0> : vzero<16, 16>;
}

}  // namespace postern::cpu
