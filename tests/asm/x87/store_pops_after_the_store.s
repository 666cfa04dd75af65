# SPDX-License-Identifier: Apache-2.0
#: out [0x20000] = 00 00 80 3f
#: out rax=0x3800
.intel_syntax noprefix
    fninit
    fldz
    fld1
    fstp dword ptr [0x20000]
    mov eax, 0
    fnstsw ax
