# SPDX-License-Identifier: Apache-2.0
# 8 + 6 = 14 in unpacked decimal.
#: mode protected32
#: in rax=8
#: out rax=0x0104 cf=1 af=1 zf=? sf=? pf=? of=?
.intel_syntax noprefix
.code32
    add al, 6
    aaa
