# SPDX-License-Identifier: Apache-2.0
#: in rax=0x1122334455667788 rbx=0x10400
#: out rax=0x112233445566000a zf=0 cf=? of=? sf=? af=? pf=?
.intel_syntax noprefix
    bsr ax, bx
