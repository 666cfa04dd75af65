# SPDX-License-Identifier: Apache-2.0
#: in rcx=10 rsi=0x20000 rdi=0x20100
#: in [0x20000] = 01 02 03 04 05 06 07 08 09 0a
#: out [0x20100] = 01 02 03 04
#: out rcx=6 rsi=0x20004 rdi=0x20104
#: stop 4 rip=0x10000
.intel_syntax noprefix
    rep movsb
