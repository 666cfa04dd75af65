# SPDX-License-Identifier: Apache-2.0
# A call gate to CPL 1, whose stack segment in the TSS has DPL 0: #TS with its selector.
#: mode protected32
#: cpl 0
#: fault #TS(0x10) at=0x10200
#: out rax=? rsp=0x3d000
#: out [0x10035] = 8b
#: out [0x3efec] = 00 02 01 00 1b 00 00 00 02 00 00 00 00 d0 03 00 23 00 00 00
.intel_syntax noprefix
.code32
base:
    jmp start
.balign 8
gdt:                            # at 10008H
    .quad 0
    .quad 0x00cf9b000000ffff    # 08: code, DPL 0
    .quad 0x00cf93000000ffff    # 10: data, DPL 0
    .quad 0x00cffb000000ffff    # 18: code, DPL 3
    .quad 0x00cff3000000ffff    # 20: data, DPL 3
    .word 103, tss - base       # 28: TSS
    .long 0x00008901
    .quad 0x00cfbb000000ffff    # 30: code, DPL 1
    .quad 0x00cf9b000000ffff    # 38: of the machine's gates
    .word inner - base, 0x30    # 40: gate, DPL 3
    .word 0xec00, 1
gdt_pointer:
    .word 0x47
    .long gdt
tss:
    .long 0, 0x8000, 0x10, 0x3e000, 0x11
    .skip 84
start:
    lgdt [gdt_pointer]
    mov ax, 0x28
    ltr ax
    push 0x23
    push 0x3d000
    push 2
    push 0x1b
    push offset user
    iretd
inner:
    nop
.org 0x200
user:
    .byte 0x9a                  # call 43H:0
    .long 0
    .word 0x43
