# SPDX-License-Identifier: Apache-2.0
#: out [0x20010] = 00 00 00 00 00 00 00 80 ff ff
#: out rax=4
.intel_syntax noprefix
    fninit
    fld1
    fldz
    fyl2x
    fstp tbyte ptr [0x20010]
    mov eax, 0
    fnstsw ax
    movzx eax, al
