# SPDX-License-Identifier: Apache-2.0
#: in [0x20ffe] = 7e 03
#: in [0x20000] = 00 00 80 7f
#: out rax=0xb881
.intel_syntax noprefix
    fninit
    fldcw word ptr [0x20ffe]
    fld dword ptr [0x20000]
    fistp dword ptr [0x50000]
    mov eax, 0
    fnstsw ax
