// SPDX-License-Identifier: Apache-2.0
// A processor in VMX root operation with a VMCS that enters a 64-bit guest, for the tests of
// cpu/vmx. Encodings and values are the manual's, written out.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "arch/msr.h"
#include "cpu/decode/block_cache.h"
#include "cpu/event/event.h"
#include "cpu/flags.h"
#include "cpu/mmu/access.h"
#include "cpu/model.h"
#include "cpu/vmx/vmx.h"

namespace postern::cpu::vmx {

// Physical pages.
inline constexpr u64 vmxon_at = 0x1000;
inline constexpr u64 vmcs_at = 0x2000;
inline constexpr u64 other_vmcs_at = 0x3000;
inline constexpr u64 io_bitmap_a_at = 0x4000;
inline constexpr u64 io_bitmap_b_at = 0x5000;
inline constexpr u64 msr_bitmap_at = 0x6000;
inline constexpr u64 entry_list_at = 0x7000;
inline constexpr u64 store_list_at = 0x7400;
inline constexpr u64 exit_list_at = 0x7800;
inline constexpr u64 long_list_at = 0x1'0000;  // of more entries than those have room for

inline constexpr u64 not_canonical = 0x8000'0000'0000;
inline constexpr u64 too_wide = u64{1} << 46;  // the first address that does not exist
inline constexpr u64 start_time = 4'000'000;

inline constexpr u64 guest_rip_value = 0x40'1000;
inline constexpr u64 host_rip_value = 0xffff'8000'0000'1000;

struct FieldValue {
    VmcsField field;
    u64 value;
};

// clang-format off
inline constexpr FieldValue baseline[]{
    {VmcsField::virtual_processor_identifier, 1},
    {VmcsField::guest_es_selector, 0x10}, {VmcsField::guest_cs_selector, 0x08},
    {VmcsField::guest_ss_selector, 0x10}, {VmcsField::guest_ds_selector, 0x10},
    {VmcsField::guest_fs_selector, 0x10}, {VmcsField::guest_gs_selector, 0x10},
    {VmcsField::guest_ldtr_selector, 0},  {VmcsField::guest_tr_selector, 0x18},
    {VmcsField::host_es_selector, 0x10},  {VmcsField::host_cs_selector, 0x08},
    {VmcsField::host_ss_selector, 0x10},  {VmcsField::host_ds_selector, 0},
    {VmcsField::host_fs_selector, 0x20},  {VmcsField::host_gs_selector, 0},
    {VmcsField::host_tr_selector, 0x18},
    {VmcsField::io_bitmap_a, io_bitmap_a_at}, {VmcsField::io_bitmap_b, io_bitmap_b_at},
    {VmcsField::msr_bitmap, msr_bitmap_at}, {VmcsField::ept_pointer, 0x801e},
    {VmcsField::tsc_offset, 0x1234'5678}, {VmcsField::vmcs_link_pointer, ~u64{0}},
    {VmcsField::guest_ia32_pat, 0x0007'0406'0007'0406}, {VmcsField::guest_ia32_efer, 0xd01},
    {VmcsField::host_ia32_pat, 0x0606'0606'0606'0606},  {VmcsField::host_ia32_efer, 0x500},
    {VmcsField::pin_based_controls, 0x16},
    {VmcsField::primary_processor_based_controls, 0x9400'6172},
    {VmcsField::secondary_processor_based_controls, 0x22},   // EPT, VPID
    {VmcsField::exception_bitmap, 0},
    {VmcsField::vm_exit_controls, 0x0013'6fff | 0x0028'0000},
    {VmcsField::vm_entry_controls, 0x0000'd3ff},
    {VmcsField::guest_es_limit, 0xffff'ffff}, {VmcsField::guest_cs_limit, 0xffff'ffff},
    {VmcsField::guest_ss_limit, 0xffff'ffff}, {VmcsField::guest_ds_limit, 0xffff'ffff},
    {VmcsField::guest_fs_limit, 0xffff'ffff}, {VmcsField::guest_gs_limit, 0xffff'ffff},
    {VmcsField::guest_tr_limit, 0x67}, {VmcsField::guest_gdtr_limit, 0x7f},
    {VmcsField::guest_idtr_limit, 0xfff},
    {VmcsField::guest_es_access_rights, 0xc093}, {VmcsField::guest_cs_access_rights, 0xa09b},
    {VmcsField::guest_ss_access_rights, 0xc093}, {VmcsField::guest_ds_access_rights, 0xc093},
    {VmcsField::guest_fs_access_rights, 0xc093}, {VmcsField::guest_gs_access_rights, 0xc093},
    {VmcsField::guest_ldtr_access_rights, 0x1'0000}, {VmcsField::guest_tr_access_rights, 0x8b},
    {VmcsField::guest_ia32_sysenter_cs, 0x30}, {VmcsField::host_ia32_sysenter_cs, 0x40},
    {VmcsField::guest_cr0, 0x8000'0033}, {VmcsField::guest_cr3, 0x9000},
    {VmcsField::guest_cr4, 0x26b0},    // VMXE, OSXMMEXCPT, OSFXSR, PGE, PAE, PSE
    {VmcsField::guest_fs_base, 0x7f00'0000'1000}, {VmcsField::guest_gs_base, 0xffff'8800'0000'2000},
    {VmcsField::guest_tr_base, 0xa000}, {VmcsField::guest_gdtr_base, 0xb000},
    {VmcsField::guest_idtr_base, 0xc000},
    {VmcsField::guest_dr7, 0x401}, {VmcsField::guest_rsp, 0x8'0000},
    {VmcsField::guest_rip, guest_rip_value}, {VmcsField::guest_rflags, 0x202},
    {VmcsField::guest_ia32_sysenter_esp, 0x1111}, {VmcsField::guest_ia32_sysenter_eip, 0x2222},
    {VmcsField::host_cr0, 0x8001'0031}, {VmcsField::host_cr3, 0xd000},
    {VmcsField::host_cr4, 0x20a0},
    {VmcsField::host_fs_base, 0xf500}, {VmcsField::host_gs_base, 0xf600},
    {VmcsField::host_tr_base, 0xf700}, {VmcsField::host_gdtr_base, 0xf800},
    {VmcsField::host_idtr_base, 0xf900},
    {VmcsField::host_ia32_sysenter_esp, 0x3333}, {VmcsField::host_ia32_sysenter_eip, 0x4444},
    {VmcsField::host_rsp, 0xffff'8000'0000'2000}, {VmcsField::host_rip, host_rip_value},
};
// clang-format on

/// The TLB keeps host pages: RAM begins at one.
struct alignas(page_size) RamPage {
    u8 byte[page_size];
};

struct VmxMachine {
    std::vector<RamPage> ram = std::vector<RamPage>(0x2'0000 / page_size);
    System system;
    std::unique_ptr<BlockCache> blocks = std::make_unique<BlockCache>();
    std::unique_ptr<Cpu> owned = std::make_unique<Cpu>();
    Cpu& c = *owned;

    VmxMachine() {
        system.memory.ram = ram.front().byte;
        system.memory.low_size = ram.size() * page_size;
        system.memory.epc_base = 0x1'4000'0000;
        system.memory.epc_size = 0x1'0000;
        system.model = &default_model();
        c.system = &system;
        c.blocks = blocks.get();
        reset_tlbs(c);
        c.tlb = &c.tlbs[tlb_supervisor];
        c.cr0 = Cr0Word::from_raw(0x8000'0031);
        c.cr4 = Cr4Word::from_raw(0x20a0);
        c.efer = EferWord::from_raw(0x500);
        c.horizon = start_time + 1000;
        c.budget = 1000;
        c.vmx.current = no_vmcs;
        c.vmx.hosted = true;
        put_revision(vmxon_at);
        put_revision(vmcs_at);
        put_revision(other_vmcs_at);
        EXPECT_TRUE(vmxon(c, Hpa{vmxon_at}).ok());
    }

    /// With the baseline guest in the current VMCS.
    static VmxMachine with_guest() {
        VmxMachine m;
        EXPECT_TRUE(vmclear(m.c, Hpa{vmcs_at}).ok());
        EXPECT_TRUE(vmptrld(m.c, Hpa{vmcs_at}).ok());
        for (const FieldValue& row : baseline) m.set(row.field, row.value);
        return m;
    }

    VmxMachine(VmxMachine&& other) noexcept
        : ram{std::move(other.ram)}, system{other.system}, blocks{std::move(other.blocks)},
          owned{std::move(other.owned)} {
        system.memory.ram = ram.front().byte;
        c.system = &system;
    }
    VmxMachine& operator=(VmxMachine&&) = delete;
    ~VmxMachine() = default;

    void put_revision(u64 region) {
        u64 value = 0;
        EXPECT_TRUE(read_capability(static_cast<u32>(Msr::vmx_basic), value));
        write_physical(c, Hpa{region}, 4, value & 0x7fff'ffff);
    }

    void set(VmcsField field, u64 value) {
        const Status status = vmwrite(c, static_cast<u32>(field), value);
        EXPECT_TRUE(status.ok()) << name_of(field);
    }
    void turn_on(VmcsField field, u64 mask) { set(field, get(field) | mask); }
    void turn_off(VmcsField field, u64 mask) { set(field, get(field) & ~mask); }

    u64 get(VmcsField field) {
        u64 value = 0;
        EXPECT_TRUE(vmread(c, static_cast<u32>(field), value).ok()) << name_of(field);
        return value;
    }

    Status enter(bool& entered, bool launch = true) { return vmx::enter(c, launch, entered); }

    /// Enters, and says so if not.
    void run() {
        bool entered = false;
        const Status status = enter(entered, !c.vmx.vmcs.launched);
        EXPECT_TRUE(status.ok()) << "VMfail " << static_cast<u32>(status.error);
        EXPECT_TRUE(entered);
    }

    void put_msr_entry(u64 list, unsigned n, u64 msr, u64 value) {
        write_physical(c, Hpa{list + 16 * n}, 8, msr);
        write_physical(c, Hpa{list + 16 * n + 8}, 8, value);
    }
};

}  // namespace postern::cpu::vmx
