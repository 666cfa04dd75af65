// SPDX-License-Identifier: Apache-2.0
// The VM-execution controls of the running guest, as questions. Outside VMX non-root operation
// every answer is no.
#pragma once

#include "arch/vmx/controls.h"
#include "cpu/cpu.h"
#include "cpu/vmx/vmx.h"

namespace postern::cpu {

template <class Control>
inline bool wants(const Cpu& c, Control control) {
    return vmx::in_guest(c) && vmx::has(c.vmx.vmcs, control);
}

/// An opt-out entry suppresses the monitor trap flag for the whole visit to the enclave. SDM 3D,
/// "Enclave Code Debug and Profiling".
inline bool wants_monitor_trap(const Cpu& c) {
    return wants(c, PrimaryControl::monitor_trap_flag) &&
           (!c.enclave.active || c.enclave.debug_opt_in);
}

}  // namespace postern::cpu
