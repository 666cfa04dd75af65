# SPDX-License-Identifier: Apache-2.0
# 13 - 8 = 5 in unpacked decimal.
#: mode protected32
#: in rax=0x0103
#: out rax=0x0005 cf=1 af=1 zf=? sf=? pf=? of=?
.intel_syntax noprefix
.code32
    sub al, 8
    aas
