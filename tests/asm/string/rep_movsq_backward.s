# SPDX-License-Identifier: Apache-2.0
#: in rcx=2 rsi=0x20008 rdi=0x20108 df=1
#: in [0x20000] = 01 02 03 04 05 06 07 08 11 12 13 14 15 16 17 18
#: out [0x20100] = 01 02 03 04 05 06 07 08 11 12 13 14 15 16 17 18
#: out rcx=0 rsi=0x1fff8 rdi=0x200f8
.intel_syntax noprefix
    rep movsq
