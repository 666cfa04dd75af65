# SPDX-License-Identifier: Apache-2.0
#: in [0x103308] = 07 00 06 00 00 00 00 00
#: in [0x60000] = b0 01 ff e3
#: in rcx=0x60000 rsi=0x61000 rbp=0x5a rax=0 rdx=0
#: out rax=0x5a rbx=? rdx=1
#: out [0x60001] = 5a
.intel_syntax noprefix
    lea rbx, [rip + 1f]
    jmp rsi
1:  add dl, al
    mov byte ptr [0x60001], bpl
    lea rbx, [rip + 2f]
    jmp rsi
2:
