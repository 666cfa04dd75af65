# SPDX-License-Identifier: Apache-2.0
# CPL 3 jumps to a conforming segment of DPL 0 and stays at CPL 3: RPL of CS says so.
#: mode protected32
#: cpl 0
#: fault #GP(0) at=0x10202
#: out rax=0x2b rcx=?
#: out [0x3efec] = 00 01 01 00 1b 00 00 00 02 00 00 00 00 d0 03 00 23 00 00 00
#: out rsp=0x3d000
.intel_syntax noprefix
.code32
    jmp start
.balign 8
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff    # 08: code, DPL 0
    .quad 0x00cf93000000ffff    # 10: data, DPL 0
    .quad 0x00cffb000000ffff    # 18: code, DPL 3
    .quad 0x00cff3000000ffff    # 20: data, DPL 3
    .quad 0x00cf9f000000ffff    # 28: conforming code, DPL 0
    .quad 0
    .quad 0x00cf9b000000ffff    # 38: of the machine's gates
gdt_pointer:
    .word 0x3f
    .long gdt
start:
    lgdt [gdt_pointer]
    push 0x23
    push 0x3d000
    push 2
    push 0x1b
    push offset user
    iretd
.org 0x100
user:
    .byte 0xea
    .long conforming
    .word 0x28
.org 0x200
conforming:
    mov eax, cs
    hlt
