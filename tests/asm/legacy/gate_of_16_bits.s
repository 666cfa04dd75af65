# SPDX-License-Identifier: Apache-2.0
# It pushes words, and its offset has 16 bits; the code segment begins at 10000H.
#: mode protected32
#: cpl 0
#: in rax=0
#: out rax=0x10 rsp=0x3effa
#: out [0x3effa] = 02 01 38 00 02 00
.intel_syntax noprefix
.code32
base:
    jmp start
.balign 8
gdt:
    .quad 0
    .quad 0
    .quad 0x00409b010000ffff    # 10: code, base 10000H
idt:
    .word handler - base, 0x10, 0x8600, 0xffff
gdt_pointer:
    .word 0x17
    .long gdt
idt_pointer:
    .word 7
    .long idt
start:
    lgdt [gdt_pointer]
    lidt [idt_pointer]
    jmp next
.org 0x100
next:
    int 0
handler:
    mov eax, cs
