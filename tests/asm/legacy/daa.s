# SPDX-License-Identifier: Apache-2.0
# 79 + 35 = 114 in packed decimal.
#: mode protected32
#: in rax=0x79 rbx=0x35
#: out rax=0x14 cf=1 af=1 zf=0 sf=0 pf=1 of=?
.intel_syntax noprefix
.code32
    add al, bl
    daa
