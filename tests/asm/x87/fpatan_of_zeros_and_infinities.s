# SPDX-License-Identifier: Apache-2.0
#: in [0x20000] = 00 00 00 00 00 00 00 80 ff 7f
#: out [0x20010] = 35 c2 68 21 a2 da 0f c9 00 c0
#: out [0x20020] = 35 c2 68 21 a2 da 0f c9 fe 3f
#: out rax=0x0020
.intel_syntax noprefix
    fninit
    fldz
    fchs
    fld1
    fchs
    fpatan
    fstp tbyte ptr [0x20010]
    fld tbyte ptr [0x20000]
    fld st(0)
    fpatan
    fstp tbyte ptr [0x20020]
    mov eax, 0
    fnstsw ax
    movzx eax, al
