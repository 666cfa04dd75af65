// SPDX-License-Identifier: Apache-2.0
// The machine of the event and system tests.
#include "unit/cpu/event/machine.h"

#include "arch/regs/dr6.h"
#include "arch/regs/dr7.h"
#include "cpu/flags.h"
#include "cpu/mmu/access.h"
#include "cpu/vmx/vmx.h"

namespace postern::cpu {

namespace {

Segment flat(u16 selector, u32 rights) { return {selector, 0, rights, 0xffff'ffff, 0, 0}; }

}  // namespace

Machine::Machine() {
    model = default_model();
    system.memory = {ram_->bytes.data(), ram_size, 0, u64{1} << 40, 0};
    system.bus = &bus;
    system.model = &model;
    c.system = &system;
    c.interrupts = &controller;
    c.blocks = blocks_.get();
    c.code_epoch = 1;
    reset_tlbs(c);

    put<u64>(pml4_at, pdpt_at | 7);
    put<u64>(pdpt_at, pd_at | 7);
    put<u64>(pd_at, pt_at | 7);
    for (u64 n = 0; n < 512; ++n) put<u64>(pt_at + 8 * n, n << 12 | 7);

    put<u64>(gdt_at + 0x08, code64_dpl0);
    put<u64>(gdt_at + 0x10, data_dpl0);
    put<u64>(gdt_at + 0x18, data_dpl3);
    put<u64>(gdt_at + 0x20, code64_dpl3);
    put<u64>(gdt_at + 0x28, 0x0000'8b00'7000'0067);  // busy 64-bit TSS at 7000H, limit 67H
    put<u64>(gdt_at + 0x38, 0x0000'8200'c000'001f);  // LDT at C000H, limit 1FH
    put<u64>(gdt_at + 0x48, 0x00af'9f00'0000'ffff);  // conforming, DPL 0
    put<u64>(gdt_at + 0x50, 0x00cf'9b00'0000'ffff);  // 32-bit code
    put<u64>(gdt_at + 0x58, 0x00af'1b00'0000'ffff);  // not present
    put<u64>(gdt_at + 0x60, 0x00cf'1300'0000'ffff);  // data, not present
    put<u64>(gdt_at + 0x68, 0x00cf'9100'0000'ffff);  // read-only data
    put<u64>(gdt_at + 0x70, 0x0000'8900'8000'0fff);  // available TSS at 8000H, limit FFFH
    put<u64>(gdt_at + 0x80, 0x0000'8c00'0008'0000);  // call gate
    put<u64>(gdt_at + 0x90, 0x00af'ff00'0000'ffff);  // conforming, DPL 3
    put<u64>(tss_at + 4, kernel_stack);
    put<u64>(tss_at + 36, ist1_stack);
    put<u16>(tss_at + 102, 104);
    for (unsigned n = 0; n < 256; ++n) gate(n, GateKind::interrupt);

    c.cr0 = {Cr0::pe, Cr0::mp, Cr0::et, Cr0::ne, Cr0::wp, Cr0::pg};
    c.cr4 = {Cr4::pae};
    c.efer = {Efer::sce, Efer::lme, Efer::lma, Efer::nxe};
    c.cr3 = pml4_at;
    c.xcr0 = 1;
    c.dr6 = dr6_reset;
    c.dr7 = dr7_reset;
    c.gdtr = {gdt_at, 0x97};
    c.idtr = {idt_at, 0xfff};
    c.segment[tr] = {tss_selector, 0, 0x8b, 0x67, 0, tss_at};
    c.segment[ldtr] = {ldt_selector, 0, 0x82, 0x1f, 0, ldt_at};
    for (const SegmentIndex index : {es, ds, fs, gs}) c.segment[index] = flat(user_ss, 0xc0f3);
    c.vmx.current = no_vmcs;
    c.vmx.preemption_deadline = ~u64{0};
    c.horizon = 1'000'000;
    set_rflags(c, 0x202);
    c.rip = code_rip;
    c.next_rip = code_rip;
    as_kernel();
}

void Machine::as_kernel() {
    c.cpl = 0;
    c.segment[cs] = flat(kernel_cs, 0xa09b);
    c.segment[ss] = flat(kernel_ss, 0xc093);
    c.gpr[rsp] = kernel_stack - 0x100;
    flush_translations(c);
}

void Machine::as_user() {
    c.cpl = 3;
    c.segment[cs] = flat(user_cs, 0xa0fb);
    c.segment[ss] = flat(user_ss, 0xc0f3);
    c.gpr[rsp] = user_stack;
    flush_translations(c);
}

void Machine::gate(unsigned vector, GateKind kind, unsigned ist, u16 selector) {
    const u64 offset = handler_of(vector);
    const u64 low = (offset & 0xffff) | u64{selector} << 16 | u64{ist} << 32 |
                    u64{static_cast<u8>(kind)} << 40 | (offset >> 16 & 0xffff) << 48;
    put<u64>(idt_at + 16 * u64{vector}, low);
    put<u64>(idt_at + 16 * u64{vector} + 8, offset >> 32);
}

void Machine::map(u64 linear, u64 flags) {
    put<u64>(pt_at + 8 * (linear >> 12), (linear & ~u64{0xfff}) | flags);
    flush_translations(c);
}

void Machine::as_guest(u32 pin, u32 primary, u32 secondary) {
    c.vmx.on = true;
    c.vmx.non_root = true;
    c.vmx.hosted = true;
    c.cr4.set(Cr4::vmxe);
    set(VmcsField::pin_based_controls, pin);
    set(VmcsField::primary_processor_based_controls, primary | (secondary != 0 ? 1u << 31 : 0));
    set(VmcsField::secondary_processor_based_controls, secondary);
    set(VmcsField::vm_exit_controls, 1u << 9);
    set(VmcsField::vm_entry_controls, 1u << 9);
    set(VmcsField::io_bitmap_a, bitmap_at);
    set(VmcsField::io_bitmap_b, bitmap_at + 0x1000);
    set(VmcsField::msr_bitmap, bitmap_at + 0x2000);
    set(VmcsField::host_rip, host_rip);
    set(VmcsField::host_rsp, host_rsp);
    set(VmcsField::host_cr0, c.cr0.to_raw());
    set(VmcsField::host_cr3, pml4_at);
    set(VmcsField::host_cr4, c.cr4.to_raw());
    set(VmcsField::host_cs_selector, kernel_cs);
    set(VmcsField::host_tr_selector, tss_selector);
    // What an exit must overwrite.
    for (const VmcsField field :
         {VmcsField::exit_reason, VmcsField::exit_qualification, VmcsField::guest_rip,
          VmcsField::vm_exit_interruption_information, VmcsField::idt_vectoring_information,
          VmcsField::vm_exit_instruction_length})
        set(field, 0x5a5a);
}

void Machine::with_ept(u64 hole) {
    put<u64>(ept_pml4_at, ept_pdpt_at | 7);
    put<u64>(ept_pdpt_at, ept_pd_at | 7);
    put<u64>(ept_pd_at, ept_pt_at | 7);
    for (u64 n = 0; n < 512; ++n) put<u64>(ept_pt_at + 8 * n, n == hole >> 12 ? 0 : n << 12 | 0x37);
    c.vmx.ept_pointer = ept_pml4_at | 0x1e;  // write-back, 4 levels
    flush_translations(c);
}

EventInProgress injection(u32 information, u32 length, u32 error_code, bool enclave) {
    return {.valid = true,
            .enclave = enclave,
            .injected = true,
            .information = information,
            .error_code = error_code,
            .instruction_length = length,
            .address = 0};
}

Insn memory_insn(u64 address, unsigned size) {
    Insn i{};
    i.base = i.index = i.segment = row_zero;
    i.disp = static_cast<i32>(address);
    i.form = static_cast<u8>(size | form_memory);
    return i;
}

Insn register_insn(u8 dst, u8 src, unsigned size) {
    Insn i{};
    i.base = i.index = i.segment = row_zero;
    i.dst = dst;
    i.src = src;
    i.form = static_cast<u8>(size);
    return i;
}

bool execute(Cpu& c, Semantic semantic, const Insn& i, unsigned length) {
    c.pending = {};
    c.rip = code_rip;
    c.next_rip = code_rip + length;
    return semantic(c, i).ok();
}

}  // namespace postern::cpu
