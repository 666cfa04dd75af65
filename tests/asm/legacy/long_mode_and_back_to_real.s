# SPDX-License-Identifier: Apache-2.0
# From compatibility mode out of IA-32e mode, to 16-bit protected mode and to real mode.
#: mode compat32
#: cpl 0
#: out rax=? rbx=0 rcx=? rdx=? rsi=0x1000 zf=? sf=? pf=?
.intel_syntax noprefix
.code32
base:
    jmp start
.balign 8
gdt:
    .quad 0
    .quad 0x00009b010000ffff    # 08: code of 16 bits, base 10000H
    .quad 0x000093000000ffff    # 10: data of 16 bits
gdt_pointer:
    .word 0x17
    .long gdt
start:
    mov eax, cr0
    and eax, 0x7fffffff
    mov cr0, eax                # LMA becomes 0
    mov ecx, 0xc0000080
    rdmsr
    and eax, 0x500
    mov ebx, eax
    sub ebx, 0x100              # LME alone
    lgdt [gdt_pointer]
    mov ax, 0x10
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov fs, ax
    mov gs, ax
    .byte 0xea                  # jmp 8:narrow
    .long narrow - base
    .word 8
.code16
narrow:
    mov eax, cr0
    and al, 0xfe
    mov cr0, eax
    .byte 0xea                  # jmp 1000H:real
    .word real - base, 0x1000
real:
    mov si, cs
    movzx esi, si
