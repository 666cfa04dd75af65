// SPDX-License-Identifier: Apache-2.0
// The VMX instructions where they are carried out: VMX root operation, and VMXON before it.
#pragma once

#include "arch/vmx/exit_reason.h"
#include "base/result.h"
#include "cpu/cpu.h"
#include "cpu/insn.h"

namespace postern::cpu::vmx {

/// `which` names the instruction by its own exit reason; mode, operand form, VMX operation and
/// CPL are checked already (VMXON outside VMX operation: mode, operand form and CR4.VMXE only).
/// Fetches the operands, does the work, and leaves VMsucceed or VMfail in the status flags.
Result<> exec_in_root(Cpu& c, BasicReason which, const Insn& i);

}  // namespace postern::cpu::vmx
