# SPDX-License-Identifier: Apache-2.0
#: out rax=0x3a41
.intel_syntax noprefix
    fninit
    fld1
    fld1
    fld1
    fld1
    fld1
    fld1
    fld1
    fld1
    fld1
    fnstsw ax
    movzx eax, ax
