// SPDX-License-Identifier: Apache-2.0
// How the kernel is entered: in 64-bit mode at _start (the software PC), or in 32-bit mode at
// pvh_entry (QEMU), which sets up what the first has: long mode, the first 4 GiB identity-mapped,
// RSI = hvm_start_info. Also the page tables both use from then on.
.intel_syntax noprefix

.equ page_present_writable, 0x3
.equ page_large, 0x80
.equ phys32_entry, 18
.equ ia32_efer, 0xc0000080
.equ efer_lme, 1 << 8
.equ cr4_pae, 1 << 5
.equ cr0_pe_pg, 0x80000001

.section .note.pvh, "a", @note
.balign 4
    .long 4, 8, phys32_entry
    .asciz "Xen"
    .quad pvh_entry

.text

.code32
.global pvh_entry
pvh_entry:
    cli
    cld
    mov esi, ebx
    lgdt [boot_gdt_register]
    mov eax, cr4
    or eax, cr4_pae
    mov cr4, eax
    mov eax, offset kernel_pml4
    mov cr3, eax
    mov ecx, ia32_efer
    rdmsr
    or eax, efer_lme
    wrmsr
    mov eax, cr0
    or eax, cr0_pe_pg
    mov cr0, eax
    jmp 0x08:pvh_entry_64

.code64
pvh_entry_64:
    mov eax, 0x10
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov esi, esi
    jmp _start

.global _start
_start:
    cli
    cld
    lea rsp, [rip + kernel_stack_top]
    lea rax, [rip + kernel_pml4]
    mov cr3, rax
    mov rdi, rsi
    xor ebp, ebp
    call kernel_main
    ud2

.data
.balign 8
boot_gdt:
    .quad 0
    .quad 0x00af9b000000ffff
    .quad 0x00cf93000000ffff
boot_gdt_register:
    .word boot_gdt_register - boot_gdt - 1
    .long boot_gdt

.balign 4096
.global kernel_pml4
kernel_pml4:
    .quad identity_pdpt + page_present_writable
    .fill 511, 8, 0
identity_pdpt:
    .irp gib, 0, 1, 2, 3
    .quad identity_directories + \gib * 4096 + page_present_writable
    .endr
    .fill 508, 8, 0
identity_directories:
    .set large_page, 0
    .rept 4 * 512
    .quad large_page * 0x200000 + page_present_writable + page_large
    .set large_page, large_page + 1
    .endr

.bss
.balign 4096
    .skip 16384
.global kernel_stack_top
kernel_stack_top:

.section .note.GNU-stack, "", @progbits
