# SPDX-License-Identifier: Apache-2.0
#: in [0x60ffd] = b8 11 22 33 44 ff e3
#: in rcx=0x60ffd rsi=0x6655
#: out rax=0x66552211 rdx=0x44332211 rbx=?
#: out [0x61000] = 55 66
.intel_syntax noprefix
    lea rbx, [rip + 1f]
    jmp rcx
1:  mov edx, eax
    mov word ptr [0x61000], si
    lea rbx, [rip + 2f]
    jmp rcx
2:
