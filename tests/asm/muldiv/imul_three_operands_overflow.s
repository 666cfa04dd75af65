# SPDX-License-Identifier: Apache-2.0
#: in rax=0x10101010901010 rbx=0x4000
#: out rax=0x10101010900000 cf=1 of=1 sf=? zf=? af=? pf=?
.intel_syntax noprefix
    imul ax, bx, 4
