# SPDX-License-Identifier: Apache-2.0
#: in rcx=0xffffffff00000002 rsi=0xffffffff00020000 rdi=0xffffffff00020100
#: in [0x20000] = 01 02
#: out [0x20100] = 01 02
#: out rcx=0 rsi=0x20002 rdi=0x20102
.intel_syntax noprefix
    .byte 0x67
    rep movsb
