// SPDX-License-Identifier: Apache-2.0
// Its code, tables and log.
#include "support/nested_kernel.h"

#include <algorithm>
#include <cstring>

#include "arch/exception.h"
#include "unit/platform/elf_image.h"

// Variables, from 909000H: the next operation, the place in the log, faults left, the VMXON region,
// RFLAGS behind an entry that failed, the operation's code. The guest's registers are at 909100H.
asm(R"(
    .pushsection .rodata
    .globl postern_l1_start, postern_l1_fault, postern_l1_exit, postern_l1_end
postern_l1_start:
    cli
    movl $0x906000, %esp
    call 90f
    movl $0x480, %ecx
    rdmsr
    movl %eax, 0x910000
    movl %eax, 0x911000
    movl %eax, 0x912000
    movl %eax, 0x913000
    vmxon 0x909018
10: movl $0x906000, %esp            # the next operation
    cld
    movq 0x909000, %rsi
    leaq 32(%rsi), %rax
    movq %rax, 0x909000
    movq (%rsi), %rax
    movq %rax, 0x909028
    movq 8(%rsi), %rbx
    movq 16(%rsi), %rcx
    cmpq $15, %rax
    jae 20f
    leaq 11f(%rip), %rdi
    movslq (%rdi,%rax,4), %rax
    addq %rdi, %rax
    jmp *%rax
    .balign 4
11: .long 20f-11b, 21f-11b, 22f-11b, 23f-11b, 24f-11b, 25f-11b, 26f-11b, 27f-11b
    .long 28f-11b, 29f-11b, 30f-11b, 31f-11b, 32f-11b, 33f-11b, 34f-11b

20: movb $1, %al                    # end
    outb %al, $0xf4
    jmp 20b
21: vmwrite %rcx, %rbx              # write_field
    jmp 40f
22: vmptrld 8(%rsi)
    jmp 40f
23: vmclear 8(%rsi)
    jmp 40f
25: movq %rcx, (%rbx)               # poke64
    jmp 10b
26: invept 16(%rsi), %rbx
    jmp 40f
27: invvpid 16(%rsi), %rbx
    jmp 40f
28: vmxoff
    vmxon 8(%rsi)
    jmp 40f
30: vmread %rbx, %rax               # flip_field
    jbe 40f
    xorq %rcx, %rax
    vmwrite %rax, %rbx
    jmp 40f
31: call *%rbx
    jmp 10b
32: movl %ecx, (%rbx)               # poke32
    jmp 10b
33: movq %rcx, %rax                 # write_msr
    movq %rcx, %rdx
    shrq $32, %rdx
    movl %ebx, %ecx
    wrmsr
    jmp 10b
34: call 35f
    jmp 10b
35: movq $0x928000, %rsi            # all fields
    movq (%rsi), %rcx
36: addq $8, %rsi
    testq %rcx, %rcx
    jz 37f
    movq (%rsi), %rax
    addq $8, %rsi
    movq (%rsi), %rdx
    vmwrite %rdx, %rax
    decq %rcx
    jmp 36b
37: ret

24: cmpq $1, %rbx                   # enter
    call 38f
    je 1f
    vmresume
    jmp 2f
1:  vmlaunch
2:  pushfq
    popq %rbx
    movq %rbx, 0x909020
    movq 0x909000, %rsi
    cmpq $0, -24(%rsi)
    jne 3f
    movl $0x4400, %eax
    xorl %ebx, %ebx
    vmread %rax, %rbx
    cmpl $5, %ebx
    jne 3f
    call 38f
    vmlaunch
    pushfq
    popq 0x909020
3:  movq 0x909020, %rbx
    jmp 41f
38: movq 0x909100, %rax             # MOV leaves flags alone
    movq 0x909108, %rcx
    movq 0x909110, %rdx
    movq 0x909118, %rbx
    movq 0x909128, %rbp
    movq 0x909130, %rsi
    movq 0x909138, %rdi
    movq 0x909140, %r8
    movq 0x909148, %r9
    movq 0x909150, %r10
    movq 0x909158, %r11
    movq 0x909160, %r12
    movq 0x909168, %r13
    movq 0x909170, %r14
    movq 0x909178, %r15
    ret

40: pushfq                          # behind a VMX instruction
    popq %rbx
41: andl $0x8d5, %ebx
    testb $0x41, %bl
    jz 10b
    movq 0x909008, %rdi
    cmpq $0xeff000, %rdi
    jae 20b
    movq $3, (%rdi)
    movq $3, 8(%rdi)
    movq 0x909028, %rax
    movq %rax, 16(%rdi)
    movq %rbx, 24(%rdi)
    movl $0x4400, %eax
    xorl %ebx, %ebx
    vmread %rax, %rbx
    movq %rbx, 32(%rdi)
    addq $40, %rdi
    movq %rdi, 0x909008
    jmp 10b

postern_l1_exit:
    movq %rax, 0x909100
    movq %rcx, 0x909108
    movq %rdx, 0x909110
    movq %rbx, 0x909118
    movq %rbp, 0x909128
    movq %rsi, 0x909130
    movq %rdi, 0x909138
    movq %r8, 0x909140
    movq %r9, 0x909148
    movq %r10, 0x909150
    movq %r11, 0x909158
    movq %r12, 0x909160
    movq %r13, 0x909168
    movq %r14, 0x909170
    movq %r15, 0x909178
    pushfq
    popq %rbx
    cld
    movq 0x909008, %rdi
    cmpq $0xeff000, %rdi
    jae 20b
    movq $1, %rax
    stosq
    movq 0x90a000, %rax
    addq $42, %rax
    stosq
    movl $0x909100, %esi
    movl $16, %ecx
    rep movsq
    movq %rbx, %rax
    stosq                           # 16: RFLAGS
    movq %rsp, %rax
    stosq
    movq %cr0, %rax
    stosq
    movq %cr2, %rax
    stosq
    movq %cr3, %rax
    stosq                           # 20
    movq %cr4, %rax
    stosq
    movq %dr6, %rax
    stosq
    movq %dr7, %rax
    stosq
    xorl %eax, %eax
    movw %cs, %ax
    stosq
    movw %ss, %ax
    stosq
    movw %ds, %ax
    stosq
    movw %es, %ax
    stosq
    movw %fs, %ax
    stosq
    movw %gs, %ax
    stosq
    strw %ax
    stosq                           # 30
    sldtw %ax
    stosq
    leaq 1f(%rip), %rsi
2:  movl (%rsi), %ecx
    jecxz 3f
    addq $4, %rsi
    rdmsr
    stosl
    movl %edx, %eax
    stosl
    jmp 2b
1:  .long 0xc0000080, 0xc0000100, 0xc0000101, 0xc0000102, 0x277, 0x174, 0x175, 0x176, 0
3:  subq $16, %rsp
    sgdt (%rsp)
    movq 2(%rsp), %rax
    stosq                           # 40
    sidt (%rsp)
    movq 2(%rsp), %rax
    stosq
    addq $16, %rsp
    movq 0x90a000, %rcx
    movl $0x90a008, %esi
4:  testq %rcx, %rcx
    jz 5f
    lodsq
    xorl %edx, %edx
    vmread %rax, %rdx
    movq %rdx, (%rdi)
    addq $8, %rdi
    decq %rcx
    jmp 4b
5:  movq %rdi, 0x909008
    jmp 10b

29: movl $0x4402, %eax              # handle: by its reason
    vmread %rax, %rdx
    jbe 10b
    testl %edx, %edx
    js 70f
    movl $0x4408, %eax              # an event was being delivered: again
    vmread %rax, %rcx
    testl %ecx, %ecx
    jns 50f
    movl $0x440a, %eax
    vmread %rax, %r8
    call 60f
    movzwl %dx, %edx
    cmpl $0, %edx
    je 10b
    cmpl $48, %edx
    je 10b
50: movzwl %dx, %edx
    cmpl $64, %edx
    jae 71f
    cmpl $0, %edx
    je 55f
    movq 1f(%rip), %rax
    btq %rdx, %rax
    jc 56f
    cmpl $1, %edx
    je 57f
    cmpl $7, %edx
    je 58f
    cmpl $8, %edx
    je 58f
    cmpl $37, %edx
    je 58f
    cmpl $52, %edx
    je 59f
    cmpl $2, %edx
    je 70f
71: movl $0x681e, %eax              # elsewhere
    vmwrite %rbx, %rax
    movl $0x4826, %eax
    xorl %ecx, %ecx
    vmwrite %rcx, %rax
    movl $0x4824, %eax
    vmwrite %rcx, %rax
    jmp 10b
70: call 35b                        # as at first
    movl $0x681e, %eax
    vmwrite %rbx, %rax
    jmp 10b
1:  .quad 0xbeecc191fffffc00      # a bit for each reason that is an instruction

55: movl $0x4404, %eax              # an exception goes to the guest
    vmread %rax, %rcx
    movl $0x4406, %eax
    vmread %rax, %r8
    movl %ecx, %eax
    shrl $8, %eax
    andl $7, %eax
    cmpl $2, %eax                   # an NMI: no
    je 10b
    call 60f
    jmp 10b
56: movl $0x440c, %eax              # skip
    vmread %rax, %rcx
    movl $0x681e, %eax
    vmread %rax, %rdx
    addq %rcx, %rdx
    vmwrite %rdx, %rax
    movl $0x4824, %eax
    vmread %rax, %rdx
    andl $~3, %edx
    vmwrite %rdx, %rax
    jmp 10b
57: sti                             # an interrupt is this hypervisor's
    nop
    nop
    cli
    jmp 10b
58: movl $0x4002, %eax              # no windows, no steps
    vmread %rax, %rdx
    andl $~0x08400004, %edx
    vmwrite %rdx, %rax
    jmp 10b
59: movl $0x482e, %eax
    movl $0x10000, %edx
    vmwrite %rdx, %rax
    jmp 10b
60: andl $~0x1000, %ecx             # inject ECX, error code R8D
    movl $0x4016, %eax
    vmwrite %rcx, %rax
    movl $0x4018, %eax
    vmwrite %r8, %rax
    movl $0x440c, %eax
    vmread %rax, %r8
    movl $0x401a, %eax
    vmwrite %r8, %rax
    ret

postern_l1_fault:                   # vector, error code, frame
    pushq %rax
    pushq %rdi
    cld
    movq 0x909008, %rdi
    cmpq $0xeff000, %rdi
    jae 20b
    movq $2, (%rdi)
    movq $6, 8(%rdi)
    movq 16(%rsp), %rax
    movq %rax, 16(%rdi)
    movq 24(%rsp), %rax
    movq %rax, 24(%rdi)
    movq 32(%rsp), %rax
    movq %rax, 32(%rdi)
    movq 40(%rsp), %rax
    movq %rax, 40(%rdi)
    movq 48(%rsp), %rax
    movq %rax, 48(%rdi)
    movq %cr2, %rax
    movq %rax, 56(%rdi)
    addq $64, %rdi
    movq %rdi, 0x909008
    decl 0x909010
    jz 20b
    cmpl $2, 16(%rsp)
    je 1f
    cmpl $32, 16(%rsp)
    jb 2f
    movl $0xfee000b0, %edi
    movl $0, (%rdi)
1:  popq %rdi
    popq %rax
    addq $16, %rsp
    iretq
2:  call 90f
    jmp 10b

90: lgdt 0x909040                   # in order again
    lidt 0x909050
    movl $0x90b000, %eax
    movq %rax, %cr3
    movl $0x80050033, %eax
    movq %rax, %cr0
    movl $0x42620, %eax
    movq %rax, %cr4
    andb $0xfd, 0x90202d            # the TSS is not busy
    movw $0x28, %ax
    ltr %ax
    movw $0x10, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl $7, %eax
    xorl %ecx, %ecx
    xorl %edx, %edx
    xsetbv
    ret
postern_l1_end:
    .popsection
)");

extern "C" const unsigned char postern_l1_start[], postern_l1_fault[], postern_l1_exit[],
    postern_l1_end[];

namespace postern::test::nested {
namespace {

using F = VmcsField;
namespace l2 = hosted::at;

constexpr u64 code_at(const unsigned char* symbol, u64 base) {
    return base + static_cast<u64>(symbol - postern_l1_start);
}

/// The hypervisor's memory from at::base to at::log.
class Image {
public:
    explicit Image(const Program& program) : program_{program}, bytes_(at::log - at::base) {
        const auto size = static_cast<size_t>(postern_l1_end - postern_l1_start);
        std::memcpy(bytes_.data(), postern_l1_start, size);
        put(at::variables, at::script);
        put(at::variables + 8, at::log);
        put(at::variables + 0x10, program.faults);
        put(at::variables + 0x18, at::vmxon);
        put(at::variables + 0x40, 0x37, 2);
        put(at::variables + 0x42, at::gdt);
        put(at::variables + 0x50, 0xfff, 2);
        put(at::variables + 0x52, at::idt);
        write_descriptors();
        write_page_tables();
        write_ept();
        write_lists();
    }
    [[nodiscard]] const std::vector<u8>& bytes() const { return bytes_; }

private:
    void put(u64 address, u64 value, unsigned size = 8) {
        std::memcpy(&bytes_[address - at::base], &value, size);
    }
    void write_descriptors();
    void write_stub(u64 vector);
    void write_page_tables();
    void write_ept();
    void write_lists();

    const Program& program_;
    std::vector<u8> bytes_;
};

void Image::write_descriptors() {
    put(at::gdt + 8, 0x00af'9b00'0000'ffff);
    put(at::gdt + 16, 0x00cf'9300'0000'ffff);
    put(at::gdt + 0x28,
        0x0000'8900'0000'0067 | (at::tss & 0xffff) << 16 | (at::tss >> 16 & 0xff) << 32);
    put(at::tss + 0x24, at::fault_stack);
    put(at::tss + 0x66, 0x68, 2);
    for (u64 vector = 0; vector < 256; ++vector) write_stub(vector);
}

/// PUSH 0 where the processor pushes no error code; PUSH vector; JMP.
void Image::write_stub(u64 vector) {
    constexpr u64 stub_size = 16, push_byte = 0x6a, push = 0x68, jump = 0xe9, nop = 0x90;
    const bool has_code = vector < 32 && has_error_code(static_cast<Vector>(vector));
    const u64 stub = at::stubs + stub_size * vector;
    put(stub, has_code ? nop << 8 | nop : push_byte, 2);
    put(stub + 2, push, 1);
    put(stub + 3, vector, 4);
    put(stub + 7, jump, 1);
    put(stub + 8, code_at(postern_l1_fault, at::base) - (stub + 12), 4);
    put(at::idt + 16 * vector,
        (stub & 0xffff) | 0x08 << 16 | u64{0x8e01} << 32 | (stub >> 16 & 0xffff) << 48);
}

/// Identity: memory, 3 to 4 GiB, and the EPC.
void Image::write_page_tables() {
    constexpr u64 pdpt = at::tables + page_size, low = pdpt + page_size, high = low + page_size;
    put(at::tables, pdpt | 7);
    put(pdpt, low | 7);
    put(pdpt + 24, high | 7);
    put(pdpt + 32, (u64{4} << 30) | 0x87);
    for (u64 i = 0; i < at::memory >> 21; ++i) put(low + 8 * i, i << 21 | 0x87);
    for (u64 i = 0x1e0; i < 512; ++i) put(high + 8 * i, (u64{3} << 30 | i << 21) | 0x87);
}

/// Identity: the guest's memory, in pages of 4 KiB from 2 to 4 MiB; 3 to 4 GiB; the EPC.
void Image::write_ept() {
    constexpr u64 all = 7, wb = 6 << 3, large = 0x80;
    constexpr u64 pdpt = at::ept + page_size, low = pdpt + page_size, high = low + page_size,
                  epc = high + page_size;
    static_assert(epc + page_size == at::ept_small);
    put(at::ept, pdpt | all);
    put(pdpt, low | all);
    put(pdpt + 24, high | all);
    put(pdpt + 32, epc | all);
    for (u64 i = 0; i < l2::memory >> 21; ++i) put(low + 8 * i, i << 21 | large | wb | all);
    put(low + 8, at::ept_small | all);
    for (u64 i = 0; i < 512; ++i)
        put(at::ept_small + 8 * i, ((u64{2} << 20) + (i << 12)) | wb | all);
    for (u64 i = 0x1e0; i < 512; ++i) put(high + 8 * i, (u64{3} << 30 | i << 21) | large | all);
    put(epc, l2::epc | large | wb | all);
}

void Image::write_lists() {
    put(at::fields, program_.fields.size());
    for (size_t i = 0; i < program_.fields.size(); ++i) {
        put(at::fields + 8 + 16 * i, static_cast<u64>(program_.fields[i].field));
        put(at::fields + 16 + 16 * i, program_.fields[i].value);
    }
    for (size_t i = 0; i < std::min<size_t>(program_.script.size(), script_most); ++i) {
        const Op& op = program_.script[i];
        const u64 where = at::script + 32 * i;
        put(where, static_cast<u64>(op.code));
        put(where + 8, op.a);
        put(where + 16, op.b);
        put(where + 24, op.c);
    }
    put(at::logged_fields, program_.logged.size());
    for (size_t i = 0; i < program_.logged.size(); ++i)
        put(at::logged_fields + 8 + 8 * i, static_cast<u64>(program_.logged[i]));
    constexpr u64 ret = 0xc3;
    for (size_t i = 0; i < program_.calls.size(); ++i) {
        const u64 where = at::code + 64 * i;
        std::memset(&bytes_[where - at::base], ret, 64);
        std::memcpy(&bytes_[where - at::base], program_.calls[i].data(),
                    std::min<size_t>(program_.calls[i].size(), 63));
    }
}

}  // namespace

// clang-format off
std::vector<FieldValue> usual_fields() {
    return {
        {F::virtual_processor_identifier, 1},
        {F::guest_es_selector, 0x18}, {F::guest_cs_selector, 0x08}, {F::guest_ss_selector, 0x10},
        {F::guest_ds_selector, 0x18}, {F::guest_fs_selector, 0x18}, {F::guest_gs_selector, 0x18},
        {F::guest_ldtr_selector, 0}, {F::guest_tr_selector, 0x28},
        {F::host_es_selector, 0x10}, {F::host_cs_selector, 0x08}, {F::host_ss_selector, 0x10},
        {F::host_ds_selector, 0x10}, {F::host_fs_selector, 0x10}, {F::host_gs_selector, 0x10},
        {F::host_tr_selector, 0x28},
        {F::io_bitmap_a, at::io_bitmaps}, {F::io_bitmap_b, at::io_bitmaps + 0x1000},
        {F::msr_bitmap, at::msr_bitmap}, {F::ept_pointer, at::ept | 0x1e},
        {F::vm_entry_msr_load_address, at::msr_lists},
        {F::vm_exit_msr_store_address, at::msr_lists + at::msr_list_size},
        {F::vm_exit_msr_load_address, at::msr_lists + 2 * at::msr_list_size},
        {F::vm_entry_msr_load_count, 0}, {F::vm_exit_msr_store_count, 0},
        {F::vm_exit_msr_load_count, 0},
        {F::virtual_apic_address, at::virtual_apic}, {F::apic_access_address, at::apic_access},
        {F::vmcs_link_pointer, ~u64{0}}, {F::tpr_threshold, 0}, {F::cr3_target_count, 0},
        {F::tsc_offset, 0}, {F::guest_ia32_debugctl, 0},
        {F::guest_ia32_pat, 0x0007'0406'0007'0406}, {F::guest_ia32_efer, 0x500},
        {F::host_ia32_pat, 0x0007'0406'0007'0406}, {F::host_ia32_efer, 0x500},
        {F::pin_based_controls, 0x16}, {F::primary_processor_based_controls, 0x9400'6172},
        {F::secondary_processor_based_controls, 0x10aa},
        {F::exception_bitmap, 0}, {F::page_fault_error_code_mask, 0},
        {F::page_fault_error_code_match, 0},
        {F::vm_exit_controls, 0x003b'6fff}, {F::vm_entry_controls, 0xd3ff},
        {F::vm_entry_interruption_information, 0}, {F::vm_entry_exception_error_code, 0},
        {F::vm_entry_instruction_length, 0},
        {F::guest_es_limit, 0xffff'ffff}, {F::guest_cs_limit, 0xffff'ffff},
        {F::guest_ss_limit, 0xffff'ffff}, {F::guest_ds_limit, 0xffff'ffff},
        {F::guest_fs_limit, 0xffff'ffff}, {F::guest_gs_limit, 0xffff'ffff},
        {F::guest_ldtr_limit, 0}, {F::guest_tr_limit, 0x67},
        {F::guest_gdtr_limit, 0x5f}, {F::guest_idtr_limit, 0xfff},
        {F::guest_es_access_rights, 0xc0f3}, {F::guest_cs_access_rights, 0xa09b},
        {F::guest_ss_access_rights, 0xc093}, {F::guest_ds_access_rights, 0xc0f3},
        {F::guest_fs_access_rights, 0xc0f3}, {F::guest_gs_access_rights, 0xc0f3},
        {F::guest_ldtr_access_rights, 0x1'0000}, {F::guest_tr_access_rights, 0x8b},
        {F::guest_interruptibility_state, 0}, {F::guest_activity_state, 0},
        {F::guest_ia32_sysenter_cs, 0}, {F::vmx_preemption_timer_value, 0x10000},
        {F::host_ia32_sysenter_cs, 0},
        {F::cr0_guest_host_mask, 0}, {F::cr4_guest_host_mask, 0x2000},
        {F::cr0_read_shadow, 0}, {F::cr4_read_shadow, 0},
        {F::guest_cr0, 0x8005'0033}, {F::guest_cr3, l2::tables}, {F::guest_cr4, 0x5'2620},
        {F::guest_es_base, 0}, {F::guest_cs_base, 0}, {F::guest_ss_base, 0},
        {F::guest_ds_base, 0}, {F::guest_fs_base, 0}, {F::guest_gs_base, 0},
        {F::guest_ldtr_base, 0}, {F::guest_tr_base, l2::tss},
        {F::guest_gdtr_base, l2::gdt}, {F::guest_idtr_base, l2::idt}, {F::guest_dr7, 0x400},
        {F::guest_rsp, l2::stack_top}, {F::guest_rip, l2::kernel}, {F::guest_rflags, 2},
        {F::guest_pending_debug_exceptions, 0},
        {F::guest_ia32_sysenter_esp, 0}, {F::guest_ia32_sysenter_eip, 0},
        {F::host_cr0, 0x8005'0033}, {F::host_cr3, at::tables}, {F::host_cr4, 0x4'2620},
        {F::host_fs_base, 0}, {F::host_gs_base, 0}, {F::host_tr_base, at::tss},
        {F::host_gdtr_base, at::gdt}, {F::host_idtr_base, at::idt},
        {F::host_ia32_sysenter_esp, 0}, {F::host_ia32_sysenter_eip, 0},
        {F::host_rsp, at::stack}, {F::host_rip, code_at(postern_l1_exit, at::base)},
    };
}
// clang-format on

std::vector<u8> make_kernel(const Program& program) {
    const std::vector<u8> guest = hosted::make_kernel(program.l2);
    constexpr u64 header = 0x1000, kernel_size = l2::kernel_end - l2::kernel;
    const u64 text_size = guest.size() - header - kernel_size;
    const Image image{program};
    test::ElfFile file;
    file.entry(at::base);
    file.add({1, header, l2::kernel, kernel_size, kernel_size});
    file.add({1, header + kernel_size, l2::code, text_size, text_size});
    file.add({1, guest.size(), at::base, image.bytes().size(), image.bytes().size()});
    file.bytes.resize(header);
    file.bytes.insert(file.bytes.end(), guest.begin() + header, guest.end());
    file.bytes.insert(file.bytes.end(), image.bytes().begin(), image.bytes().end());
    return std::move(file.bytes);
}

std::vector<Record> read_log(const u8* memory) {
    std::vector<Record> records;
    const auto word = [&](u64 address) {
        u64 value = 0;
        std::memcpy(&value, memory + address, sizeof value);
        return value;
    };
    u64 where = at::log;
    const u64 end = std::min<u64>(word(at::variables + 8), at::log_end);
    while (where + 16 <= end) {
        const u64 size = word(where + 8);
        if (size > 1000 || where + 16 + 8 * size > end) break;
        Record record{static_cast<RecordKind>(word(where)), {}};
        for (u64 i = 0; i < size; ++i) record.words.push_back(word(where + 16 + 8 * i));
        records.push_back(std::move(record));
        where += 16 + 8 * size;
    }
    return records;
}

}  // namespace postern::test::nested
