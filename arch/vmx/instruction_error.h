// SPDX-License-Identifier: Apache-2.0
// VM-instruction error numbers: why a VMX instruction set RFLAGS.ZF.
#pragma once

#include "base/types.h"

namespace postern {

/// SDM 3C, "VM Instruction Error Numbers". 14, 21 and 27 are not used.
enum class VmInstructionError : u32 {
    none = 0,
    vmcall_in_root = 1,
    vmclear_invalid_address = 2,
    vmclear_vmxon_pointer = 3,
    vmlaunch_non_clear_vmcs = 4,
    vmresume_non_launched_vmcs = 5,
    vmresume_after_vmxoff = 6,
    entry_invalid_control_fields = 7,
    entry_invalid_host_state = 8,
    vmptrld_invalid_address = 9,
    vmptrld_vmxon_pointer = 10,
    vmptrld_incorrect_revision = 11,
    unsupported_vmcs_component = 12,
    vmwrite_read_only_component = 13,
    vmxon_in_root = 15,
    entry_invalid_executive_vmcs_pointer = 16,
    entry_non_launched_executive_vmcs = 17,
    entry_executive_vmcs_pointer_not_vmxon_pointer = 18,
    vmcall_non_clear_vmcs = 19,
    vmcall_invalid_exit_controls = 20,
    vmcall_incorrect_mseg_revision = 22,
    vmxoff_under_dual_monitor_treatment = 23,
    vmcall_invalid_smm_monitor_features = 24,
    entry_invalid_controls_in_executive_vmcs = 25,
    entry_events_blocked_by_mov_ss = 26,
    invalid_operand_to_invept_or_invvpid = 28,
};

}  // namespace postern
