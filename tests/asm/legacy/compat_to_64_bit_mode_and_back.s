# SPDX-License-Identifier: Apache-2.0
# By far jumps through the machine's code segments of CPL 0: 8 is 64-bit, 38H is 32-bit.
#: mode compat32
#: cpl 0
#: in rax=0 rbx=0
#: out rax=0x1122334455667788 rbx=0x38 rcx=8 rdx=0x66778899
#: out [0x3eff0] = 1c 00 01 00 00 00 00 00 38 00 00 00 00 00 00 00
.intel_syntax noprefix
.code32
    .byte 0xea
    .long wide
    .word 8
.code64
wide:
    mov rax, 0x1122334455667788
    mov ecx, cs
    push 0x38
    push offset narrow
    retfq
.code32
narrow:
    mov ebx, cs
    mov edx, 0x66778899
