# SPDX-License-Identifier: Apache-2.0
#: out [0x20000] = 00 00 00 00 00 00 00 c0 ff ff
#: out rax=0x0041
.intel_syntax noprefix
    fninit
    fstp tbyte ptr [0x20000]
    mov eax, 0
    fnstsw ax
    movzx eax, al
