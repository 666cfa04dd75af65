// SPDX-License-Identifier: Apache-2.0
// x87 instructions on the control and status words and on the whole state. They run in software;
// the memory operand is that of the Insn. None changes RIP, mode or events.
#pragma once

#include "base/result.h"
#include "cpu/cpu.h"
#include "cpu/insn.h"

namespace postern::cpu {

/// #NM, if the unit is not there for instructions. SDM 3A,
/// "Interrupt 7: Device Not Available Exception (#NM)".
Result<> check_x87(Cpu& c);

Result<> exec_fninit(Cpu& c, const Insn& i);
Result<> exec_fnclex(Cpu& c, const Insn& i);
Result<> exec_fwait(Cpu& c, const Insn& i);
Result<> exec_fldcw(Cpu& c, const Insn& i);
Result<> exec_fnstcw(Cpu& c, const Insn& i);
Result<> exec_fnstsw(Cpu& c, const Insn& i);  // AX, or memory if form & form_memory
Result<> exec_fneni(Cpu& c, const Insn& i);   // and FNDISI, FNSETPM

// imm: size of the image. 14 and 28 bytes of environment, 94 and 108 with the registers.
Result<> exec_fnstenv(Cpu& c, const Insn& i);
Result<> exec_fldenv(Cpu& c, const Insn& i);
Result<> exec_fnsave(Cpu& c, const Insn& i);
Result<> exec_frstor(Cpu& c, const Insn& i);

}  // namespace postern::cpu
