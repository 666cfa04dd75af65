# SPDX-License-Identifier: Apache-2.0
#: in [0x20000] = 00 04 00 00
#: out [0x20010] = 0a 00
#: out rax=0
.intel_syntax noprefix
    fninit
    fld1
    fild dword ptr [0x20000]
    fyl2x
    fistp word ptr [0x20010]
    mov eax, 0
    fnstsw ax
    movzx eax, al
