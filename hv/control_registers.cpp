// SPDX-License-Identifier: Apache-2.0
// Writes of control registers that exited, carried out as the processor would have.
#include "hv/control_registers.h"

#include <cstring>

#include "arch/paging.h"
#include "base/bits.h"
#include "hv/vcpu.h"

namespace postern::hv {
namespace {

u64 seen(Port& port, VmcsField mask_field, VmcsField shadow, VmcsField real) {
    const u64 mask = port.vmread(mask_field);
    return (port.vmread(shadow) & mask) | (port.vmread(real) & ~mask);
}

/// SDM 3A, table "Format of an Entry of the Page-Directory-Pointer Table That References a Page
/// Directory".
constexpr u64 pdpte_reserved = 0x1e6;

}  // namespace

u64 Vcpu::seen_cr0() {
    return seen(port_, VmcsField::cr0_guest_host_mask, VmcsField::cr0_read_shadow,
                VmcsField::guest_cr0);
}

u64 Vcpu::seen_cr4() {
    return seen(port_, VmcsField::cr4_guest_host_mask, VmcsField::cr4_read_shadow,
                VmcsField::guest_cr4);
}

ControlRegisters Vcpu::control_registers() {
    ControlRegisters now;
    now.cr0 = Cr0Word::from_raw(seen_cr0());
    now.cr4 = Cr4Word::from_raw(seen_cr4());
    now.cr3 = port_.vmread(VmcsField::guest_cr3);
    now.efer = EferWord::from_raw(port_.vmread(VmcsField::guest_ia32_efer));
    now.long_code = bit<13>(read32(VmcsField::guest_cs_access_rights));
    const u32 tss_type = read32(VmcsField::guest_tr_access_rights) & 0xf;
    now.tss_16 = tss_type == static_cast<u32>(SystemType::tss16_busy);
    return now;
}

void Vcpu::store_cr0(Cr0Word value) {
    const u64 raw = value.to_raw();
    const u64 owned = nested_.in_l2() ? nested_.real_cr0(raw) : raw;
    port_.vmwrite(VmcsField::guest_cr0, real_cr0(Cr0Word::from_raw(owned)).to_raw());
    port_.vmwrite(VmcsField::cr0_read_shadow, nested_.in_l2() ? nested_.shown_cr0(raw) : raw);
}

void Vcpu::store_cr4(u64 value) {
    const u64 fixed = port_.rdmsr(static_cast<u32>(Msr::vmx_cr4_fixed0));
    const u64 owned = nested_.in_l2() ? nested_.real_cr4(value) : value;
    port_.vmwrite(VmcsField::guest_cr4, (owned & ~cr4_masked.to_raw()) | fixed);
    port_.vmwrite(VmcsField::cr4_read_shadow, value);
}

/// The entry control follows LMA. SDM 3C, "VM-Entry Controls".
void Vcpu::store_efer(EferWord efer) {
    const auto controls = EntryControls::from_raw(read32(VmcsField::vm_entry_controls));
    port_.vmwrite(VmcsField::vm_entry_controls,
                  controls.with(EntryControl::ia32e_mode_guest, efer.has(Efer::lma)).to_raw());
    port_.vmwrite(VmcsField::guest_ia32_efer, efer.to_raw());
}

/// False: there is no memory, or a present entry has a reserved bit set. SDM 3A, "PDPTE Registers".
bool Vcpu::load_pdptes(u64 cr3) {
    std::array<u64, 4> entries{};
    Gpa table{cr3 & 0xffff'ffe0};
    const u8* const bytes = nested_.translate(table) ? vm_.bytes_at(table) : nullptr;
    if (bytes == nullptr) return false;
    std::memcpy(entries.data(), bytes, sizeof entries);
    const u64 reserved = pdpte_reserved | beyond_physical();
    for (const u64 entry : entries)
        if ((entry & 1) != 0 && (entry & reserved) != 0) return false;
    port_.vmwrite(VmcsField::guest_pdpte0, entries[0]);
    port_.vmwrite(VmcsField::guest_pdpte1, entries[1]);
    port_.vmwrite(VmcsField::guest_pdpte2, entries[2]);
    port_.vmwrite(VmcsField::guest_pdpte3, entries[3]);
    return true;
}

u64 Vcpu::offered_cr4() {
    if (nested_.capabilities().present()) return nested_.capabilities().cr4_fixed1();
    return port_.rdmsr(static_cast<u32>(Msr::vmx_cr4_fixed1)) & ~cr4_masked.to_raw();
}

/// An unrestricted guest clears PE and PG without an exit; an L1 in VMX root operation cannot.
void Vcpu::agree_about_fixed_bits() {
    const u64 seen_now = seen_cr0();
    const u64 fixed = nested_.in_root() ? nested_.capabilities().cr0_fixed0() : 0;
    port_.vmwrite(VmcsField::cr0_guest_host_mask, cr0_masked.to_raw() | fixed);
    port_.vmwrite(VmcsField::cr0_read_shadow, seen_now);
}

bool Vcpu::write_cr0(u64 value) {
    const ControlRegisters now = control_registers();
    if (!is_legal_cr0(now, value)) return false;
    const auto wanted = Cr0Word::from_raw(value & cr0_defined_mask).with(Cr0::et);
    const NestedCapabilities& vmx = nested_.capabilities();
    if (nested_.in_root() && !has_fixed_bits(wanted.to_raw(), vmx.cr0_fixed0(), vmx.cr0_fixed1()))
        return false;
    if (!nested_.allows_cr0(wanted.to_raw())) return false;
    const u64 changes = wanted.to_raw() ^ now.cr0.to_raw();
    if ((changes & cr0_of_pdptes.to_raw()) != 0 && is_pae_paging(wanted, now.cr4, now.efer) &&
        !load_pdptes(now.cr3))
        return false;
    store_cr0(wanted);
    store_efer(now.efer.with(Efer::lma, wanted.has(Cr0::pg) && now.efer.has(Efer::lme)));
    if (changes != 0) port_.invvpid(nested_.in_l2() ? vpid02() : vpid());
    return true;
}

/// With PCIDs bit 63 asks for no flush, and is never stored.
bool Vcpu::write_cr3(u64 value) {
    const ControlRegisters now = control_registers();
    constexpr u64 keep = u64{1} << 63;
    const bool keeps = now.cr4.has(Cr4::pcide) && (value & keep) != 0;
    const u64 wanted = keeps ? value & ~keep : value;
    if ((wanted & beyond_physical()) != 0) return false;
    if (is_pae_paging(now.cr0, now.cr4, now.efer) && !load_pdptes(wanted)) return false;
    port_.vmwrite(VmcsField::guest_cr3, wanted);
    if (!keeps) port_.invvpid(nested_.in_l2() ? vpid02() : vpid());
    return true;
}

bool Vcpu::write_cr4(u64 value) {
    const ControlRegisters now = control_registers();
    const u64 allowed = offered_cr4();
    if (!is_legal_cr4(now, value, allowed)) return false;
    if (nested_.in_root() && !has_fixed_bits(value, nested_.capabilities().cr4_fixed0(), allowed))
        return false;
    if (!nested_.allows_cr4(value)) return false;
    const auto wanted = Cr4Word::from_raw(value);
    const u64 changes = value ^ now.cr4.to_raw();
    if ((changes & cr4_of_pdptes.to_raw()) != 0 && is_pae_paging(now.cr0, wanted, now.efer) &&
        !load_pdptes(now.cr3))
        return false;
    store_cr4(value);
    if (changes != 0) port_.invvpid(nested_.in_l2() ? vpid02() : vpid());
    return true;
}

}  // namespace postern::hv
