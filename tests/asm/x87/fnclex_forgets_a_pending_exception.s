# SPDX-License-Identifier: Apache-2.0
#: in [0x20000] = 7b 03
#: out rax=0x3000
.intel_syntax noprefix
    fninit
    fldcw word ptr [0x20000]
    fld1
    fldz
    fdivr st, st(1)
    fnclex
    mov eax, 0
    fnstsw ax
    fwait
