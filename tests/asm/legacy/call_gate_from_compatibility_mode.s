# SPDX-License-Identifier: Apache-2.0
# CPL 3 calls a 64-bit gate (16 bytes): SS becomes null, the frame has 8-byte words; RETFQ goes back
# to 32-bit code. A second call ends the test.
#: mode compat32
#: cpl 0
#: out rax=0x1b rbx=0x3cff0 rcx=8 rdx=0x1b rsi=0 rsp=0x7fe0
#: out [0x3efec] = 00 01 01 00 1b 00 00 00 02 00 00 00 00 d0 03 00 23 00 00 00
#: out pf=? sf=? zf=? af=?
#: out [0x3cff0] = 99 00 00 00
.intel_syntax noprefix
.code32
base:
    jmp start
.balign 8
gdt:
    .quad 0
    .quad 0x00af9b000000ffff    # 08: code of 64 bits
    .quad 0x00cf93000000ffff    # 10: data, DPL 0
    .quad 0x00cffb000000ffff    # 18: code of 32 bits, DPL 3
    .quad 0x00cff3000000ffff    # 20: data, DPL 3
    .word wide - base, 8        # 28: gate
    .word 0xec00, 1
    .quad 0
    .word finish - base, 8      # 38: gate
    .word 0xec00, 1
    .quad 0
gdt_pointer:
    .word 0x47
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
    sub esp, 12
    push 0x99
    .byte 0x9a
    .long 0
    .word 0x2b
    mov edx, cs
    .byte 0x9a
    .long 0
    .word 0x3b
.code64
wide:
    mov eax, [rsp+8]
    mov ebx, [rsp+16]
    mov ecx, cs
    mov esi, ss
    retfq
finish:
