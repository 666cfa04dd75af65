# SPDX-License-Identifier: Apache-2.0
#: in [0x20000] = 00 00 c0 7f
#: out cf=1 zf=1 pf=1
#: out rax=0x3000
.intel_syntax noprefix
    fninit
    fld1
    fld dword ptr [0x20000]
    fucomi st, st(1)
    mov eax, 0
    fnstsw ax
