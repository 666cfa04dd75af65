# SPDX-License-Identifier: Apache-2.0
#: in cr4=0x400620 rcx=0 rdx=0 rax=4
#: in [0x103300] = 07 00 06 00 00 00 00 08
#: in [0x60010] = 78 56 34 12
#: out rbx=0x12345678
#: fault #PF(0x21) cr2=0x60010 at=0x10010
.intel_syntax noprefix
    mov ebx, [0x60010]
    wrpkru
    .org 0x10, 0x90
    mov ebx, [0x60010]
