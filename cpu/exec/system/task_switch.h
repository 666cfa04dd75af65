// SPDX-License-Identifier: Apache-2.0
// Task switches: what is checked before one. In VMX non-root operation a VM exit follows; elsewhere
// they are refused. Not in IA-32e mode, which has none.
#pragma once

#include "arch/vmx/exit_qualification.h"
#include "base/result.h"
#include "cpu/cpu.h"

namespace postern::cpu {

/// Does a descriptor that far JMP or CALL found lead to another task?
bool leads_to_task(u64 descriptor);

/// Far JMP or CALL to that descriptor, a task gate's or an available TSS's. Never succeeds.
Failed switch_by_branch(Cpu& c, u16 selector, u64 descriptor, TaskSwitchSource source);

/// Through a task gate of the IDT, whose own checks have passed, to the TSS it names.
Failed switch_by_event(Cpu& c, u16 selector, u32 external);

/// IRET with NT set: back to the task that the TSS links to.
Failed switch_by_return(Cpu& c);

}  // namespace postern::cpu
