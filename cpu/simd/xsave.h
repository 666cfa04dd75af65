// SPDX-License-Identifier: Apache-2.0
// The XSAVE feature set: XSAVE areas in both forms, and PKRU, which is one of their components.
#pragma once

#include "base/result.h"
#include "cpu/cpu.h"
#include "cpu/insn.h"

namespace postern::cpu {

/// Puts state components (a mask as in XCR0) into their initial configuration, MXCSR with SSE.
/// SDM 1, "Processor Tracking of XSAVE-Managed State".
void init_extended_state(Cpu& c, u64 features);

/// Translations that were checked against other rights are forgotten.
void set_pkru(Cpu& c, u32 value);

// Instructions; the memory operand is that of the Insn. None changes RIP, mode or events.

Result<> exec_xsave(Cpu& c, const Insn& i);  // and XSAVE64
Result<> exec_xsaveopt(Cpu& c, const Insn& i);
Result<> exec_xsavec(Cpu& c, const Insn& i);
Result<> exec_xsaves(Cpu& c, const Insn& i);
Result<> exec_xrstor(Cpu& c, const Insn& i);  // both forms of the area
Result<> exec_xrstors(Cpu& c, const Insn& i);
Result<> exec_rdpkru(Cpu& c, const Insn& i);
Result<> exec_wrpkru(Cpu& c, const Insn& i);

}  // namespace postern::cpu
