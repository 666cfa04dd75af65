# SPDX-License-Identifier: Apache-2.0
# A stack segment that is not present is #SS with its selector.
#: mode protected32
#: cpl 0
#: fault #SS(0x18) at=0x10100
#: out rax=0x18
.intel_syntax noprefix
.code32
    jmp start
.balign 8
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff
    .quad 0x00cf93000000ffff
    .quad 0x00cf13000000ffff    # 18: not present
    .quad 0, 0, 0
    .quad 0x00cf9b000000ffff    # 38: of the machine's gates
gdt_pointer:
    .word 0x3f
    .long gdt
start:
    lgdt [gdt_pointer]
    mov eax, 0x18
    jmp next
.org 0x100
next:
    mov ss, ax
