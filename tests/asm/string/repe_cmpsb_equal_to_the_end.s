# SPDX-License-Identifier: Apache-2.0
#: in rcx=2 rsi=0x20000 rdi=0x20100 cf=1
#: in [0x20000] = 01 02
#: in [0x20100] = 01 02
#: out rcx=0 rsi=0x20002 rdi=0x20102 zf=1 pf=1 cf=0
.intel_syntax noprefix
    repe cmpsb
