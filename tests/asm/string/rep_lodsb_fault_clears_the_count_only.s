# SPDX-License-Identifier: Apache-2.0
#: in rcx=0xffffffff00000002 rsi=0xffffffff00050000
#: out rcx=2
#: fault #PF(0) cr2=0x50000
#: instructions 0
.intel_syntax noprefix
    .byte 0x67
    rep lodsb
