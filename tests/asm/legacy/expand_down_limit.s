# SPDX-License-Identifier: Apache-2.0
# An expand-down segment of limit 2FFFFH ends where others begin: 2FFFFH itself is out of it.
#: mode protected32
#: cpl 0
#: in rbx=0x2ffff rcx=0x30000
#: in [0x30000] = 5a
#: fault #GP(0) at=0x1010a
#: out rax=? rdx=?
.intel_syntax noprefix
.code32
    jmp start
.balign 8
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff
    .quad 0x00cf93000000ffff
    .quad 0x004297000000ffff    # data, expand-down, B = 1, limit 2FFFFH
    .quad 0, 0, 0
    .quad 0x00cf9b000000ffff    # 38: of the machine's gates
gdt_pointer:
    .word 0x3f
    .long gdt
start:
    lgdt [gdt_pointer]
    mov ax, 0x18
    mov ds, ax
    jmp next
.org 0x100
next:
    mov al, [ecx]
    mov edx, 0x77
    nop
    nop
    nop
    mov al, [ebx]
