# SPDX-License-Identifier: Apache-2.0
#: in rcx=4 rsi=0x20000 rdi=0x20100
#: in [0x20000] = 01 02 03 04
#: in [0x20100] = 01 02 04 04
#: out rcx=1 rsi=0x20003 rdi=0x20103 cf=1 sf=1 af=1 pf=1
.intel_syntax noprefix
    repe cmpsb
