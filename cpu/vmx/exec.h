// SPDX-License-Identifier: Apache-2.0
// The VMX instructions as the instruction table names them.
#pragma once

#include "base/result.h"
#include "cpu/cpu.h"
#include "cpu/insn.h"

namespace postern::cpu::vmx {

Result<> exec_vmcall(Cpu& c, const Insn& i);

/// VMCLEAR, VMLAUNCH, VMPTRLD, VMPTRST, VMREAD, VMRESUME, VMWRITE, VMXOFF, VMXON, INVEPT, INVVPID
/// and VMFUNC: `imm` is the number of the instruction's own exit reason (BasicReason). Operands as
/// in cpu/exec/system.h: VMREAD has the encoding's row in src and what it writes in dst or memory,
/// VMWRITE the encoding's row in dst and the value in src or memory, INVEPT and INVVPID the type's
/// row in dst.
Result<> exec_vmx_instruction(Cpu& c, const Insn& i);

}  // namespace postern::cpu::vmx
