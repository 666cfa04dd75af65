# SPDX-License-Identifier: Apache-2.0
# 1000:xxxx calls 1008:xxxx, which is 80H further, and comes back by RETF 2.
#: mode real16
#: in rax=0 rbx=0
#: out rax=0x1008 rbx=0x1000 rsp=0xf000
#: out [0x3effa] = 07 00 00 10 77 00
.intel_syntax noprefix
.code16
    push 0x77
    .byte 0x9a
    .word there - 0x80, 0x1008
    nop
    mov bx, cs
    jmp end
.org 0x80
there:
    mov ax, cs
    retf 2
end:
