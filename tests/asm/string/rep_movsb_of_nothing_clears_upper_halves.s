# SPDX-License-Identifier: Apache-2.0
#: in rcx=0xffffffff00000000 rsi=0xffffffff00050000 rdi=0xffffffff00050010
#: out rcx=0 rsi=0x50000 rdi=0x50010
#: instructions 1
.intel_syntax noprefix
    .byte 0x67
    rep movsb
