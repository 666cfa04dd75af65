# SPDX-License-Identifier: Apache-2.0
#: in [0x20000] = 00 00 00 00 00 00 00 80 45 40 03 00
#: out [0x20010] = 00 00 00 00 00 00 00 80 1f 40
#: out [0x20020] = 00 00 00 00 00 00 00 80 ff 3f
#: out rax=0x3400 rbx=0x3300
.intel_syntax noprefix
    fninit
    fild word ptr [0x2000a]
    fld tbyte ptr [0x20000]
    fprem
    mov eax, 0
    fnstsw ax
    mov ebx, eax
    fld st(0)
    fstp tbyte ptr [0x20010]
    fprem
    mov eax, 0
    fnstsw ax
    xchg eax, ebx
    fstp tbyte ptr [0x20020]
