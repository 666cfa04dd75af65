# SPDX-License-Identifier: Apache-2.0
#: in rcx=5 rsi=0x20000 rdi=0x20100
#: in [0x20000] = 01 02 03 04 05
#: out [0x20100] = 01 02 03 04 05
#: out rcx=0 rsi=0x20005 rdi=0x20105
#: instructions 5
.intel_syntax noprefix
    rep movsb
