// SPDX-License-Identifier: Apache-2.0
// The register part of a reset. The caches and the machine are cpu/run.h's.
#pragma once

#include "cpu/cpu.h"

namespace postern::cpu {

/// Power-on values of everything a program can see. `system` and `number` must be set; memory
/// caches, the clock and the pointers are left alone. SDM 3A, "Processor State After Reset".
void reset_registers(Cpu& c);

/// Of a processor that has run: what XSAVE manages, but for XCR0, as after reset_registers(). That
/// is x87, SSE, AVX and PKRU.
void reset_extended_state(Cpu& c);

/// As reset_registers() for INIT, which keeps MSRs, x87 and vector registers, and CR0.CD and NW.
void init_registers(Cpu& c);

}  // namespace postern::cpu
