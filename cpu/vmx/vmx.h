// SPDX-License-Identifier: Apache-2.0
// VMX operation: what its instructions do, VM entry, VM exit, and the questions the rest of the
// processor asks of the controls. Hosted and bare use the same functions.
#pragma once

#include "arch/vmx/controls.h"
#include "arch/vmx/exit_reason.h"
#include "arch/vmx/instruction_error.h"
#include "base/address.h"
#include "base/result.h"
#include "cpu/cpu.h"

namespace postern::cpu::vmx {

/// What a VMX instruction left: VMsucceed, VMfailInvalid, or VMfailValid with a number.
struct Status {
    enum class Kind : u8 { succeed, fail_invalid, fail_valid } kind = Kind::succeed;
    VmInstructionError error{};
    [[nodiscard]] bool ok() const { return kind == Kind::succeed; }
};

// The instructions' semantics, operands already fetched, CPL and mode checks done.
Status vmxon(Cpu& c, Hpa region);
Status vmxoff(Cpu& c);
Status vmclear(Cpu& c, Hpa region);
Status vmptrld(Cpu& c, Hpa region);
Status vmread(Cpu& c, u32 encoding, u64& value);
Status vmwrite(Cpu& c, u32 encoding, u64 value);
Status invept(Cpu& c, u64 type, u64 ept_pointer);
Status invvpid(Cpu& c, u64 type, u16 vpid, u64 linear);
/// In VMX root operation there is no monitor to call.
Status vmcall(Cpu& c);

/// VMLAUNCH or VMRESUME. On success the processor is in the guest (injection still to be
/// delivered by the run loop), or has made the VM exit of an entry that failed with bit 31:
/// `entered` tells which. A VMX abort, or an MSR of the lists that is not implemented, is left in
/// VmxState::abort or Cpu::pending.
Status enter(Cpu& c, bool launch, bool& entered);

/// A VM exit, as SDM 3C, "VM Exits", orders it. The caller has already made the AEX (if an
/// enclave was interrupted) and says so.
struct Exit {
    BasicReason reason{};
    u64 qualification = 0;
    u64 guest_linear = 0;
    u64 guest_physical = 0;
    u32 interruption_information = 0;  // VM-exit interruption information
    u32 interruption_error_code = 0;
    u32 instruction_length = 0;
    u32 instruction_information = 0;
    /// An instruction in enclave mode was interrupted: bit 27, bit 4, RIP = AEP, lengths 0, low
    /// 12 address bits 0. Exits met while delivering an event take bit 27 from
    /// EventState::delivering instead and keep addresses whole.
    bool enclave = false;
    /// A fault-like exit saves RF = 1 (not after an enclave).
    bool sets_rf = false;
};
void exit(Cpu& c, const Exit& e);

/// Raises the VM exit of an instruction (fault-like: RIP stays on it). Use only in non-root.
Failed raise_exit(Cpu& c, BasicReason reason, u64 qualification = 0,
                  u32 instruction_information = 0);

inline bool in_guest(const Cpu& c) { return c.vmx.non_root; }

// Is a control set? Of the current VMCS, whether or not its guest runs (wants() of
// cpu/event/controls.h asks for the guest that does). The secondary controls count only when the
// primary word activates them.
inline bool has(const Vmcs& v, PinControl control) {
    return PinControls::from_raw(static_cast<u32>(v.get<VmcsField::pin_based_controls>()))
        .has(control);
}
inline bool has(const Vmcs& v, PrimaryControl control) {
    return PrimaryControls::from_raw(
               static_cast<u32>(v.get<VmcsField::primary_processor_based_controls>()))
        .has(control);
}
inline bool has(const Vmcs& v, SecondaryControl control) {
    return has(v, PrimaryControl::activate_secondary_controls) &&
           SecondaryControls::from_raw(
               static_cast<u32>(v.get<VmcsField::secondary_processor_based_controls>()))
               .has(control);
}
inline bool has(const Vmcs& v, ExitControl control) {
    return ExitControls::from_raw(static_cast<u32>(v.get<VmcsField::vm_exit_controls>()))
        .has(control);
}
inline bool has(const Vmcs& v, EntryControl control) {
    return EntryControls::from_raw(static_cast<u32>(v.get<VmcsField::vm_entry_controls>()))
        .has(control);
}

/// ENCLS leaf `eax`: the control and its bitmap.
bool exits_on_encls(const Cpu& c, u32 eax);
/// Does the exception bitmap (for #PF with its error-code mask and match) want this?
bool exits_on_exception(const Cpu& c, Vector vector, u32 error_code);
bool exits_on_io(Cpu& c, u16 port, unsigned size);
bool exits_on_rdmsr(Cpu& c, u32 msr);
bool exits_on_wrmsr(Cpu& c, u32 msr);

/// Capability MSRs 480H to 493H, from the table of what is implemented; false: no such MSR.
bool read_capability(u32 msr, u64& value);
/// The same for the model of this machine: what RDMSR reads.
bool read_capability(const Cpu& c, u32 msr, u64& value);

}  // namespace postern::cpu::vmx
