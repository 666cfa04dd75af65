# SPDX-License-Identifier: Apache-2.0
# A limit of 4 GiB loaded in protected mode stays in force in real mode, also when the selector is
# loaded again.
#: mode real16
#: in rax=0 rbx=0x60000 rcx=0
#: in [0x60000] = 11
#: in [0x80000] = 22
#: out rax=? rcx=0x2211 rdx=? pf=?
.intel_syntax noprefix
.code16
    jmp start
.balign 8
gdt:
    .quad 0
    .quad 0x00cf93000000ffff
gdt_pointer:
    .word 15
    .long 0x10000 + gdt
start:
    lgdt cs:[gdt_pointer]
    mov eax, cr0
    or al, 1
    mov cr0, eax
    mov dx, 8
    mov fs, dx
    and al, 0xfe
    mov cr0, eax
    mov cl, fs:[ebx]
    mov dx, 0x2000
    mov fs, dx
    mov ch, fs:[ebx]
