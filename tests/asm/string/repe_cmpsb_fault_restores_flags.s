# SPDX-License-Identifier: Apache-2.0
#: in rcx=8 rsi=0x20000 rdi=0x4fffe cf=1 of=1
#: in [0x4fffe] = a5 a5
#: out rcx=6 rsi=0x20002 rdi=0x50000
#: fault #PF(0) cr2=0x50000
#: instructions 2
.intel_syntax noprefix
    repe cmpsb
