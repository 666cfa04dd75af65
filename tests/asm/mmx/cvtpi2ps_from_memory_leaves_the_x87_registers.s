# SPDX-License-Identifier: Apache-2.0
#: in [0x20000] = fe ff ff ff 07 00 00 00
#: out rax=0x3800
#: out [0x20020] = 00 00 00 c0 00 00 e0 40
.intel_syntax noprefix
    fninit
    fld1
    cvtpi2ps xmm2, [0x20000]
    movlps [0x20020], xmm2
    mov eax, 0
    fnstsw ax
