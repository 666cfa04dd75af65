# SPDX-License-Identifier: Apache-2.0
#: in [0x20010] = 7f 00
#: out [0x20000] = 00 00 00 00 00 ab aa aa fd 3f
#: out rax=0x3a20
.intel_syntax noprefix
    fninit
    fldcw word ptr [0x20010]
    fld1
    fld1
    fld1
    fadd st, st(1)
    faddp st(1), st
    fdivp st(1), st
    mov eax, 0
    fnstsw ax
    fstp tbyte ptr [0x20000]
