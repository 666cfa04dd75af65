# SPDX-License-Identifier: Apache-2.0
#: in rcx=8 rsi=0x20000 rdi=0x4fffd
#: in [0x20000] = 01 02 03 04 05 06 07 08
#: out [0x4fffd] = 01 02 03
#: out rcx=5 rsi=0x20003 rdi=0x50000
#: fault #PF(2) cr2=0x50000
#: instructions 3
.intel_syntax noprefix
    rep movsb
