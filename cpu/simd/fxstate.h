// SPDX-License-Identifier: Apache-2.0
// Images of the x87, SSE and AVX state in memory: FXSAVE's 512 bytes and the XSAVE area, built in
// software. FIP, FDP, FOP, FCS and FDS are always zero (docs/model-defined.md).
#pragma once

#include "base/result.h"
#include "cpu/cpu.h"
#include "cpu/insn.h"

namespace postern::cpu {

/// The legacy region, as FXSAVE64 writes it. Bytes 416 to 511, which FXSAVE leaves alone, keep
/// their values. SDM 1, "Legacy Region of an XSAVE Area".
void save_legacy_region(const Cpu& c, u8* area512);

/// What FXRSTOR64 loads. False, and nothing loaded: MXCSR has reserved bits set.
bool load_legacy_region(Cpu& c, const u8* area512);

/// Puts state components (a mask as in XCR0) into their initial configuration, MXCSR with SSE.
/// SDM 1, "Processor Tracking of XSAVE-Managed State".
void init_extended_state(Cpu& c, u64 features);

// Instructions; the memory operand is that of the Insn. None changes RIP, mode or events.

Result<> exec_fxsave(Cpu& c, const Insn& i);   // and FXSAVE64
Result<> exec_fxrstor(Cpu& c, const Insn& i);  // and FXRSTOR64
Result<> exec_ldmxcsr(Cpu& c, const Insn& i);
Result<> exec_stmxcsr(Cpu& c, const Insn& i);
Result<> exec_xsave(Cpu& c, const Insn& i);  // and XSAVE64
Result<> exec_xsaveopt(Cpu& c, const Insn& i);
Result<> exec_xsavec(Cpu& c, const Insn& i);
Result<> exec_xrstor(Cpu& c, const Insn& i);  // both forms of the area

}  // namespace postern::cpu
