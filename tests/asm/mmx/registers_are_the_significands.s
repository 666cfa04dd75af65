# SPDX-License-Identifier: Apache-2.0
#: in rax=0x1122334455667788
#: out [0x20000] = 88 77 66 55 44 33 22 11 ff ff
#: out rax=0x1122334455660800
.intel_syntax noprefix
    fninit
    fld1
    movq mm1, rax
    fincstp
    fnstsw ax
    fstp tbyte ptr [0x20000]
