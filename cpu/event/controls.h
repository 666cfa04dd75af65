// SPDX-License-Identifier: Apache-2.0
// The VM-execution controls of the running guest, as questions. Outside VMX non-root operation
// every answer is no.
#pragma once

#include "arch/vmx/controls.h"
#include "cpu/cpu.h"

namespace postern::cpu {

inline bool wants(const Cpu& c, PinControl control) {
    return c.vmx.non_root &&
           PinControls::from_raw(
               static_cast<u32>(c.vmx.vmcs.get<VmcsField::pin_based_controls>()))
               .has(control);
}

inline bool wants(const Cpu& c, PrimaryControl control) {
    return c.vmx.non_root &&
           PrimaryControls::from_raw(
               static_cast<u32>(c.vmx.vmcs.get<VmcsField::primary_processor_based_controls>()))
               .has(control);
}

inline bool wants(const Cpu& c, SecondaryControl control) {
    return wants(c, PrimaryControl::activate_secondary_controls) &&
           SecondaryControls::from_raw(
               static_cast<u32>(c.vmx.vmcs.get<VmcsField::secondary_processor_based_controls>()))
               .has(control);
}

inline bool wants(const Cpu& c, ExitControl control) {
    return c.vmx.non_root &&
           ExitControls::from_raw(static_cast<u32>(c.vmx.vmcs.get<VmcsField::vm_exit_controls>()))
               .has(control);
}

/// An opt-out entry suppresses the monitor trap flag for the whole visit to the enclave. SDM 3D,
/// "Enclave Code Debug and Profiling".
inline bool wants_monitor_trap(const Cpu& c) {
    return wants(c, PrimaryControl::monitor_trap_flag) &&
           (!c.enclave.active || c.enclave.debug_opt_in);
}

}  // namespace postern::cpu
