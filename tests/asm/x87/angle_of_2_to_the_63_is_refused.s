# SPDX-License-Identifier: Apache-2.0
#: in [0x20000] = 00 00 00 00 00 00 00 80 3e 40
#: out [0x20010] = 00 00 00 00 00 00 00 80 3e 40
#: out rax=0x3c00
.intel_syntax noprefix
    fninit
    fld tbyte ptr [0x20000]
    mov eax, 0
    fsin
    fnstsw ax
    fstp tbyte ptr [0x20010]
