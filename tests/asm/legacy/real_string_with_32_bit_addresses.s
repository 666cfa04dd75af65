# SPDX-License-Identifier: Apache-2.0
#: mode real16
#: in rcx=3 rsi=0x10 rdi=0x20
#: in [0x20010] = 01 02 03
#: out rcx=0 rsi=0x13 rdi=0x23
#: out [0x20020] = 01 02 03
.intel_syntax noprefix
.code16
    addr32 rep movsb
