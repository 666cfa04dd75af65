# SPDX-License-Identifier: Apache-2.0
#: in rax=0x1111111111110080
#: out rax=0x1111111111110000 cf=1 zf=1 pf=1 of=1 sf=0 af=0
.intel_syntax noprefix
    add al, 0x80
