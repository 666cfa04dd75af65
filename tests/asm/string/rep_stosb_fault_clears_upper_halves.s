# SPDX-License-Identifier: Apache-2.0
#: in rcx=0xffffffff00000002 rdi=0xffffffff00050000
#: out rcx=2 rdi=0x50000
#: fault #PF(2) cr2=0x50000
#: instructions 0
.intel_syntax noprefix
    .byte 0x67
    rep stosb
