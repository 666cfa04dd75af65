# SPDX-License-Identifier: Apache-2.0
#: mode real16
#: in rax=0x11223344 rbx=0x10 rsi=0x20 rcx=3 rdi=0 rbp=0x77770000
#: in [0x20030] = 34 12 78 56
#: in [0x3f000] = 55 66
#: out rax=0x11221234 rdx=0x56781234 rdi=0x35 rcx=0 rbp=0x77776655
#: out rsp=0xf002
#: out [0x20035] = 34 12
.intel_syntax noprefix
.code16
    mov ax, [bx+si]
    mov edx, [bx+si]
    lea di, [bx+si+5]
    mov [di], ax
    pop bp
again:
    loop again
