# SPDX-License-Identifier: Apache-2.0
#: mode real16
#: in rax=0x1111 rcx=0x2222 rdx=0x3333 rbx=0x4444 rbp=0x6666 rsi=0x7777 rdi=0x8888
#: out rax=0x8888 rcx=0x7777 rdx=0x6666 rbx=0xf000 rbp=0x3333 rsi=0x2222 rdi=0x1111 rsp=0xf000 sf=1 pf=1
#: out [0x3eff0] = 88 88 77 77 66 66 00 f0 44 44 33 33 22 22 11 11
.intel_syntax noprefix
.code16
    pusha
    pop ax
    pop cx
    pop dx
    pop bx
    add sp, 2
    pop bp
    pop si
    pop di
