// SPDX-License-Identifier: Apache-2.0
// Thunks of VEX-encoded vector instructions: up to four registers, vector registers of 32 bytes
// whose upper half the hardware clears after a 128-bit form.
#pragma once

#include <array>

#include "cpu/decode/decoded.h"
#include "cpu/insn.h"

namespace postern::cpu {

/// What Insn::aux of a VEX-encoded vector instruction leads to.
struct VexOperands {
    const void* thunk;
    std::array<u32, 4> place;  // where the visible operands that are registers lie in the Cpu
};

inline const VexOperands& vex_operands(const Insn& i) {
    return *static_cast<const VexOperands*>(i.aux);
}

/// The registers, without a thunk. They live as long as `cache`'s blocks.
VexOperands* make_vex_operands(const Decoded& d, BlockCache& cache);

/// Like find_thunk(); the thunk finds its registers by Insn::aux.
const void* find_vex_thunk(const Decoded& d);

}  // namespace postern::cpu
