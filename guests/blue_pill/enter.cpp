// SPDX-License-Identifier: Apache-2.0
// Into VMX operation, with a VMCS whose guest is who is running already. SDM 3C, "Using VMX
// Instructions", "Guest-State Area", "Host-State Area".
#include "guests/blue_pill/abi.h"
#include "guests/blue_pill/ept.h"
#include "guests/blue_pill/l1.h"
#include "guests/kernel/console.h"
#include "guests/kernel/processor.h"

namespace postern::guests {
namespace {

constexpr u32 ia32_sysenter_cs = 0x174, ia32_sysenter_esp = 0x175, ia32_sysenter_eip = 0x176;
constexpr u32 ia32_debugctl = 0x1d9;
constexpr u32 ia32_vmx_basic = 0x480, ia32_vmx_secondary = 0x48b;
constexpr u32 ia32_vmx_true_pin = 0x48d, ia32_vmx_true_primary = 0x48e;
constexpr u32 ia32_vmx_true_exit = 0x48f, ia32_vmx_true_entry = 0x490;
constexpr u32 ia32_fs_base = 0xc000'0100, ia32_gs_base = 0xc000'0101;
constexpr u64 cr4_vmxe = 1 << 13;

struct alignas(4096) Page {
    u8 bytes[4096];
};
Page vmxon_region, vmcs_region, msr_bitmap, stack;

extern "C" void launch_as_guest();
extern "C" void exit_to_l1();

void start_vmx() {
    constexpr u32 vmx = 1 << 5;
    if ((cpuid(1, 0).ecx & vmx) == 0) fail(Line{} << "this processor has no VMX");
    const auto revision = static_cast<u32>(rdmsr(ia32_vmx_basic));
    *reinterpret_cast<u32*>(vmxon_region.bytes) = revision;
    *reinterpret_cast<u32*>(vmcs_region.bytes) = revision;
    write_cr4(read_cr4() | cr4_vmxe);
    const u64 vmcs = reinterpret_cast<u64>(&vmcs_region);
    if (vmxon(reinterpret_cast<u64>(&vmxon_region)) == VmxStatus::failed ||
        vmclear(vmcs) == VmxStatus::failed || vmptrld(vmcs) == VmxStatus::failed)
        fail(Line{} << "VMXON, VMCLEAR or VMPTRLD fails");
}

void write_controls(bool encls_exits) {
    constexpr u64 ecreate_and_einit = 1 << 0 | 1 << 2;
    const u32 encls = encls_exits ? secondary_encls_exiting : 0;
    vmwrite(Field::pin_controls,
            allowed(ia32_vmx_true_pin, pin_external_interrupt_exiting, "pin-based"));
    vmwrite(Field::primary_controls,
            allowed(ia32_vmx_true_primary, primary_msr_bitmaps | primary_secondary_controls,
                    "primary"));
    vmwrite(Field::secondary_controls,
            allowed(ia32_vmx_secondary, secondary_ept | secondary_rdtscp | encls, "secondary"));
    vmwrite(Field::exit_controls,
            allowed(ia32_vmx_true_exit, exit_host_address_space_size | exit_acknowledge_interrupt,
                    "VM-exit"));
    vmwrite(Field::entry_controls,
            allowed(ia32_vmx_true_entry, entry_ia32e_mode_guest, "VM-entry"));
    if (encls_exits) vmwrite(Field::encls_bitmap, ecreate_and_einit);
    vmwrite(Field::msr_bitmap, reinterpret_cast<u64>(&msr_bitmap));
    vmwrite(Field::ept_pointer, ept_pointer());
    constexpr Field zero[] = {Field::exception_bitmap,
                              Field::page_fault_mask,
                              Field::page_fault_match,
                              Field::cr3_target_count,
                              Field::exit_msr_store_count,
                              Field::exit_msr_load_count,
                              Field::entry_msr_load_count,
                              Field::entry_interruption,
                              Field::cr0_mask,
                              Field::cr4_mask};
    for (const Field field : zero) vmwrite(field, 0);
}

TableRegister sgdt() {
    TableRegister table;
    asm volatile("sgdt %0" : "=m"(table));
    return table;
}
TableRegister sidt() {
    TableRegister table;
    asm volatile("sidt %0" : "=m"(table));
    return table;
}

constexpr u32 es = 0, cs = 1, ss = 2, ds = 3, fs = 4, gs = 5, ldtr = 6, tr = 7, segment_count = 8;

/// Null selectors are loaded first where nothing needs another.
void read_selectors(u16 (&selectors)[segment_count]) {
    asm volatile("mov fs, %0\n mov gs, %0\n lldt %1" : : "r"(0), "r"(u16{0}));
    asm volatile("mov %0, es" : "=r"(selectors[es]));
    asm volatile("mov %0, cs" : "=r"(selectors[cs]));
    asm volatile("mov %0, ss" : "=r"(selectors[ss]));
    asm volatile("mov %0, ds" : "=r"(selectors[ds]));
    asm volatile("str %0" : "=r"(selectors[tr]));
}

/// SDM 3C, "Guest Register State": as LAR gives them, or unusable.
void write_segment(u32 index, u16 selector) {
    constexpr u64 unusable = 1 << 16;
    u64 rights = unusable, limit = 0;
    if (selector != 0) {
        asm volatile("lar %0, %1" : "=r"(rights) : "r"(u64{selector}) : "cc");
        asm volatile("lsl %0, %1" : "=r"(limit) : "r"(u64{selector}) : "cc");
        rights = rights >> 8 & 0xf0ff;
    }
    vmwrite(behind(Field::guest_es, index), selector);
    vmwrite(behind(Field::guest_es_rights, index), rights);
    vmwrite(behind(Field::guest_es_limit, index), limit);
    vmwrite(behind(Field::guest_es_base, index), 0);
}

/// Of a system segment. SDM 3A, "64-Bit Mode Task State Segment".
u64 base_of(u16 selector) {
    const auto* const low = reinterpret_cast<const u64*>(sgdt().base + selector);
    return (low[0] >> 16 & 0xff'ffff) | (low[0] >> 56) << 24 | low[1] << 32;
}

void write_segments() {
    u16 selectors[segment_count]{};
    read_selectors(selectors);
    for (u32 index = 0; index < segment_count; ++index) write_segment(index, selectors[index]);
    for (u32 index = 0; index < ldtr; ++index)
        vmwrite(behind(Field::host_es, index), selectors[index]);
    vmwrite(Field::host_tr, selectors[tr]);
    vmwrite(Field::guest_fs_base, rdmsr(ia32_fs_base));
    vmwrite(Field::host_fs_base, rdmsr(ia32_fs_base));
    vmwrite(Field::guest_gs_base, rdmsr(ia32_gs_base));
    vmwrite(Field::host_gs_base, rdmsr(ia32_gs_base));
    vmwrite(Field::guest_tr_base, base_of(selectors[tr]));
    vmwrite(Field::host_tr_base, base_of(selectors[tr]));
    const TableRegister gdt = sgdt(), idt = sidt();
    vmwrite(Field::guest_gdtr_base, gdt.base);
    vmwrite(Field::guest_gdtr_limit, gdt.limit);
    vmwrite(Field::host_gdtr_base, gdt.base);
    vmwrite(Field::guest_idtr_base, idt.base);
    vmwrite(Field::guest_idtr_limit, idt.limit);
    vmwrite(Field::host_idtr_base, idt.base);
}

void write_both(Field guest, Field host, u64 value) {
    vmwrite(guest, value);
    vmwrite(host, value);
}

u64 read_cr3() {
    u64 value;
    asm volatile("mov %0, cr3" : "=r"(value));
    return value;
}

void write_registers() {
    constexpr u64 dr7_reset = 0x400, rflags_reserved_1 = 1 << 1, none = ~u64{0};
    write_both(Field::guest_cr0, Field::host_cr0, read_cr0());
    write_both(Field::guest_cr3, Field::host_cr3, read_cr3());
    write_both(Field::guest_cr4, Field::host_cr4, read_cr4());
    vmwrite(Field::cr0_shadow, read_cr0());
    vmwrite(Field::cr4_shadow, read_cr4());
    write_both(Field::guest_sysenter_cs, Field::host_sysenter_cs, rdmsr(ia32_sysenter_cs));
    write_both(Field::guest_sysenter_esp, Field::host_sysenter_esp, rdmsr(ia32_sysenter_esp));
    write_both(Field::guest_sysenter_eip, Field::host_sysenter_eip, rdmsr(ia32_sysenter_eip));
    vmwrite(Field::guest_debugctl, rdmsr(ia32_debugctl));
    vmwrite(Field::guest_dr7, dr7_reset);
    vmwrite(Field::guest_rflags, rflags_reserved_1);
    vmwrite(Field::link_pointer, none);
    vmwrite(Field::interruptibility, 0);
    vmwrite(Field::activity, 0);
    vmwrite(Field::pending_debug, 0);
    vmwrite(Field::host_rsp, reinterpret_cast<u64>(&stack + 1) - 8);
    vmwrite(Field::host_rip, reinterpret_cast<u64>(exit_to_l1));
}

}  // namespace

void vmwrite(Field field, u64 value) {
    if (vmwrite_checked(field, value) == VmxStatus::failed)
        fail((Line{} << "VMWRITE fails for field ").hex(static_cast<u64>(field)));
}

u32 allowed(u32 msr, u32 wanted, const char* what) {
    const u64 capability = rdmsr(msr);
    const u32 missing = wanted & ~static_cast<u32>(capability >> 32);
    if (missing != 0) fail((Line{} << "no " << what << " controls ").hex(missing));
    return wanted | static_cast<u32>(capability);
}

extern "C" [[noreturn]] void on_failed_entry() {
    fail(Line{} << "VMLAUNCH or VMRESUME fails: " << vmread(Field::instruction_error));
}

void become_guest(bool encls_exits) {
    build_ept();
    start_vmx();
    write_controls(encls_exits);
    write_segments();
    write_registers();
    launch_as_guest();
}

}  // namespace postern::guests
