// SPDX-License-Identifier: Apache-2.0
// VMX operation of one logical processor. The current VMCS is held decoded: one 64-bit slot for
// each field of the table, written back to its region by VMCLEAR.
#pragma once

#include <array>

#include "arch/vmx/vmcs_field.h"
#include "base/address.h"
#include "base/types.h"

namespace postern::cpu {

struct Vmcs {
    std::array<u64, vmcs_field_count> slot;
    bool launched;

    template <VmcsField field>
    [[nodiscard]] u64 get() const {
        constexpr size_t index = vmcs_index(field);
        return slot[index];
    }
    template <VmcsField field>
    void set(u64 value) {
        constexpr size_t index = vmcs_index(field);
        slot[index] = value;
    }
};

inline constexpr u64 no_vmcs = ~u64{0};

/// "Virtualize APIC accesses" of the running guest.
struct ApicAccessPage {
    bool virtualized;
    u64 page;  // physical
    [[nodiscard]] bool covers(Hpa at) const { return virtualized && at.page().raw() == page; }
    friend bool operator==(const ApicAccessPage&, const ApicAccessPage&) = default;
};

/// What the virtual APIC of the running guest has yet to do.
struct VirtualApicState {
    bool recognized;      // a virtual interrupt
    bool threshold_exit;  // due after VM entry: the TPR is below its threshold
    /// The running instruction, or the one that just ran, made a virtualized write.
    bool write_pending;
    u8 write_size;
    u16 write_offset;
};

struct VmxState {
    bool on;  // between VMXON and VMXOFF
    bool non_root;
    bool hosted;  // the hypervisor is native code: the run loop returns at a VM exit
    u64 vmxon_region;
    u64 current;              // physical address of the current VMCS, or no_vmcs
    u64 preemption_deadline;  // absolute time; ~0 when the timer is off
    u16 vpid;                 // of the running guest; 0 in root
    u64 ept_pointer;          // of the running guest; 0 without EPT
    u64 tsc_offset;
    u64 tsc_multiplier;  // with 48 bits behind the point; 0: the guest's TSC is not scaled
    ApicAccessPage apic_access;
    VirtualApicState virtual_apic;
    u32 abort;  // VMX-abort indicator: not 0, and the processor is shut down
    Vmcs vmcs;
};

}  // namespace postern::cpu
