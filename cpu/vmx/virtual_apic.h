// SPDX-License-Identifier: Apache-2.0
// The virtual APIC of the running guest: the virtual-APIC page behind CR8, the APIC-access page
// and the x2APIC MSRs, and the interrupts that are delivered from it. In VMX root operation, and
// with the controls 0, none of this has any effect. SDM 3C, "APIC Virtualization and Virtual
// Interrupts".
#pragma once

#include <optional>

#include "cpu/mmu/access.h"
#include "cpu/vmx/vmx.h"

namespace postern::cpu::vmx {

// Registers, by their offset in the virtual-APIC page. SDM 3C, "Virtualized APIC Registers".
inline constexpr u16 vtpr = 0x080, vppr = 0x0a0, veoi = 0x0b0, visr = 0x100, virr = 0x200;
inline constexpr u16 vicr_lo = 0x300, vicr_hi = 0x310, vself_ipi = 0x3f0;

/// Of the current VMCS's page, whether or not its guest runs.
u32 read_virtual_register(Cpu& c, u16 offset);
u8 virtual_task_priority(Cpu& c);

/// VM entry: PPR virtualization and the first evaluation of virtual interrupts, or the exit that
/// is due if the TPR is below its threshold.
void begin_virtual_apic(Cpu& c);

// CR8 with "use TPR shadow".
u64 read_virtual_cr8(Cpu& c);
void write_virtual_cr8(Cpu& c, u64 cr8);

/// May an access to the APIC-access page, `size` bytes at `offset`, go to the virtual-APIC page?
/// Else it is an APIC-access VM exit.
bool virtualizes_apic_access(const Cpu& c, u64 offset, unsigned size, Access access);
/// Where a virtualized access goes.
inline Hpa virtual_apic_address(const Cpu& c, u64 offset) {
    return Hpa{c.vmx.vmcs.get<VmcsField::virtual_apic_address>() + offset};
}
/// A virtualized write has been made: its emulation is due once the instruction is done.
void note_apic_write(Cpu& c, u64 offset, unsigned size);

// "Virtualize x2APIC mode": RDMSR and WRMSR that reach the virtual-APIC page instead.
bool virtualizes_rdmsr(const Cpu& c, u32 msr);
bool virtualizes_wrmsr(const Cpu& c, u32 msr);
u64 read_virtual_msr(Cpu& c, u32 msr);
/// #GP(0) for reserved bits.
Result<> write_virtual_msr(Cpu& c, u32 msr, u64 value);

/// RVI becomes `vector`, if that is higher.
void request_virtual_interrupt(Cpu& c, u8 vector);
void evaluate_virtual_interrupts(Cpu& c);

/// What follows a virtualized write, and the trap-like VM exit that may come of it.
std::optional<Exit> emulate_apic_write(Cpu& c);

/// A virtual interrupt leaves the virtual-APIC page for the IDT: its vector.
u8 take_virtual_interrupt(Cpu& c);

/// Is this vector, which the interrupt controller has just given, the one that says that
/// interrupts have been posted?
bool is_posted_notification(const Cpu& c, u8 vector);
/// Takes what has been posted into the virtual-APIC page.
void process_posted_interrupts(Cpu& c);

}  // namespace postern::cpu::vmx
