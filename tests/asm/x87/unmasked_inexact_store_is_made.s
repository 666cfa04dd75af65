# SPDX-License-Identifier: Apache-2.0
#: in [0x20ffe] = 5f 03
#: in [0x20000] = 00 00 20 40
#: out [0x20ffe] = 02 00 00 00
#: out rax=0x80a0
.intel_syntax noprefix
    fninit
    fldcw word ptr [0x20ffe]
    fld dword ptr [0x20000]
    fistp dword ptr [0x20ffe]
    mov eax, 0
    fnstsw ax
