// SPDX-License-Identifier: Apache-2.0
// Which accesses to the APIC-access page, and to the x2APIC MSRs, reach the virtual-APIC page.
#include <algorithm>
#include <array>

#include "arch/msr.h"
#include "base/table.h"
#include "cpu/event/controls.h"
#include "cpu/event/event.h"
#include "cpu/vmx/virtual_apic.h"

namespace postern::cpu::vmx {
namespace {

/// What "APIC-register virtualization" covers: registers 16 bytes apart, `first` to `last`. Not
/// among them: the arbitration and processor priorities, EOI's neighbour remote read, the current
/// count. SDM 3C, "Virtualizing Reads from the APIC-Access Page" and "Determining Whether a Write
/// Access is Virtualized".
struct RegisterRow {
    u16 first, last;
    bool writes;  // as well as reads
};
constexpr std::array registers{
    RegisterRow{0x020, 0x020, true},   // ID
    RegisterRow{0x030, 0x030, false},  // version
    RegisterRow{0x080, 0x080, true},   // task priority
    RegisterRow{0x0b0, 0x0b0, true},   // EOI
    RegisterRow{0x0d0, 0x0d0, true},   // logical destination
    RegisterRow{0x0e0, 0x0e0, true},   // destination format
    RegisterRow{0x0f0, 0x0f0, true},   // spurious-interrupt vector
    RegisterRow{0x100, 0x170, false},  // in service
    RegisterRow{0x180, 0x1f0, false},  // trigger mode
    RegisterRow{0x200, 0x270, false},  // interrupt request
    RegisterRow{0x280, 0x280, true},   // error status
    RegisterRow{0x300, 0x310, true},   // interrupt command
    RegisterRow{0x320, 0x370, true},   // local vector table
    RegisterRow{0x380, 0x380, true},   // initial count
    RegisterRow{0x3e0, 0x3e0, true},   // divide configuration
};
static_assert(is_strictly_sorted(registers, [](const RegisterRow& row) { return row.first; }));

bool is_virtual_register(u64 offset, Access access) {
    const u64 base = offset & ~u64{15};
    return std::ranges::any_of(registers, [&](const RegisterRow& row) {
        return row.first <= base && base <= row.last && (row.writes || access == Access::read);
    });
}

/// With a write already virtualized in the same instruction only the same one again may be.
bool follows_another_write(const Cpu& c, u64 offset, unsigned size, Access access) {
    const VirtualApicState& s = c.vmx.virtual_apic;
    if (!s.write_pending) return false;
    return access == Access::read || offset != s.write_offset || size != s.write_size;
}

bool has_x2apic_virtualization(const Cpu& c) {
    return wants(c, SecondaryControl::virtualize_x2apic_mode);
}

constexpr u32 msr_of(u16 offset) { return x2apic_msr_first + (offset >> 4); }
constexpr u16 offset_of(u32 msr) { return static_cast<u16>((msr & 0xff) << 4); }
constexpr bool is_x2apic(u32 msr) { return msr >> 8 == x2apic_msr_first >> 8; }

}  // namespace

bool virtualizes_apic_access(const Cpu& c, u64 offset, unsigned size, Access access) {
    if (!wants(c, PrimaryControl::use_tpr_shadow) || access == Access::execute) return false;
    if (size == 0 || offset % 16 + size > 4) return false;
    if (follows_another_write(c, offset, size, access)) return false;
    if (wants(c, SecondaryControl::apic_register_virtualization))
        return is_virtual_register(offset, access);
    if (offset == vtpr) return true;
    return wants(c, SecondaryControl::virtual_interrupt_delivery) &&
           (offset == veoi || offset == vicr_lo);
}

void note_apic_write(Cpu& c, u64 offset, unsigned size) {
    VirtualApicState& s = c.vmx.virtual_apic;
    s.write_pending = true;
    s.write_offset = static_cast<u16>(offset);
    s.write_size = static_cast<u8>(size);
    c.recheck = true;
}

/// SDM 3C, "Virtualizing MSR-Based APIC Accesses": whatever the mode of the local APIC is.
bool virtualizes_rdmsr(const Cpu& c, u32 msr) {
    if (!is_x2apic(msr) || !has_x2apic_virtualization(c)) return false;
    return msr == msr_of(vtpr) || wants(c, SecondaryControl::apic_register_virtualization);
}

bool virtualizes_wrmsr(const Cpu& c, u32 msr) {
    if (!is_x2apic(msr) || !has_x2apic_virtualization(c)) return false;
    if (msr == msr_of(vtpr)) return true;
    return (msr == msr_of(veoi) || msr == msr_of(vself_ipi)) &&
           wants(c, SecondaryControl::virtual_interrupt_delivery);
}

u64 read_virtual_msr(Cpu& c, u32 msr) {
    return read_physical(c, virtual_apic_address(c, offset_of(msr)), 8);
}

/// All eight bytes are written: those above the register become 0.
Result<> write_virtual_msr(Cpu& c, u32 msr, u64 value) {
    const u64 writable = msr == msr_of(veoi) ? 0 : 0xff;
    if ((value & ~writable) != 0) return general_protection(c);
    const u16 offset = offset_of(msr);
    write_physical(c, virtual_apic_address(c, offset), 8, value);
    note_apic_write(c, offset, 8);
    return Done{};
}

}  // namespace postern::cpu::vmx
