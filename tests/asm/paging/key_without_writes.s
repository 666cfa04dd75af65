# SPDX-License-Identifier: Apache-2.0
#: in cr4=0x400620 pkru=8
#: in [0x103300] = 07 00 06 00 00 00 00 08
#: in [0x60010] = 78 56 34 12
#: out rax=0x12345678
#: fault #PF(0x23) cr2=0x60010 at=0x10010
.intel_syntax noprefix
    mov eax, [0x60010]
    .org 0x10, 0x90
    mov [0x60010], ebx
