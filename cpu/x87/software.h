// SPDX-License-Identifier: Apache-2.0
// x87 instructions whose results the host must not decide: the transcendental ones, and the step
// of FPREM that does not come to its end. SDM 1, "Transcendental Instructions".
#pragma once

#include "base/result.h"
#include "cpu/cpu.h"
#include "cpu/insn.h"

namespace postern::cpu {

Result<> exec_f2xm1(Cpu& c, const Insn& i);
Result<> exec_fcos(Cpu& c, const Insn& i);
Result<> exec_fpatan(Cpu& c, const Insn& i);
Result<> exec_fptan(Cpu& c, const Insn& i);
Result<> exec_fsin(Cpu& c, const Insn& i);
Result<> exec_fsincos(Cpu& c, const Insn& i);
Result<> exec_fyl2x(Cpu& c, const Insn& i);
Result<> exec_fyl2xp1(Cpu& c, const Insn& i);

/// FPREM and FPREM1 where the exponents are so far apart that they only make a step. False, and
/// nothing done: they do not.
bool make_partial_remainder(Cpu& c);

}  // namespace postern::cpu
