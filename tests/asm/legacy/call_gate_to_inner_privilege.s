# SPDX-License-Identifier: Apache-2.0
# From CPL 3 through a 32-bit call gate with two parameters to CPL 0, and back by RETF 8, which
# takes DS away; then through a second gate to the end.
#: mode protected32
#: cpl 0
#: in rbx=0 rcx=0 rdi=0
#: out rax=8 rbx=0x2222 rcx=0x1111 rdx=0x1b rsi=0 rdi=0x3d000 rsp=0x3dff0
#: out [0x10035] = 8b
#: out [0x3efec] = 00 01 01 00 1b 00 00 00 02 00 00 00 00 d0 03 00 23 00 00 00
#: out [0x3cff8] = 22 22 00 00 11 11 00 00
#: out [0x3dfe8] = 13 01 01 00 1b 00 00 00 1e 01 01 00 1b 00 00 00 00 d0 03 00 23 00 00 00
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
    .word inner - base, 8       # 30: gate of two parameters, DPL 3
    .word 0xec02, 1
    .word finish - base, 8      # 38: gate of none
    .word 0xec00, 1
gdt_pointer:
    .word 0x3f
    .long gdt
tss:
    .long 0, 0x3e000, 0x10
    .skip 92
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
.org 0x100
user:
    mov esi, ds                 # DPL 0: null by now
    push 0x1111
    push 0x2222
    .byte 0x9a                  # call 33H:0
    .long 0
    .word 0x33
    mov edx, cs
    mov edi, esp
    .byte 0x9a                  # call 3BH:0
    .long 0
    .word 0x3b
inner:
    mov eax, cs
    mov ebx, [esp+8]
    mov ecx, [esp+12]
    retf 8
finish:
