# SPDX-License-Identifier: Apache-2.0
#: in [0x20000] = 05 00 00 00
#: out [0x20010] = 02 00
#: out rax=0x0020
.intel_syntax noprefix
    fninit
    fild dword ptr [0x20000]
    fld1
    fadd st, st(0)
    fdivp st(1), st
    fistp word ptr [0x20010]
    mov eax, 0
    fnstsw ax
