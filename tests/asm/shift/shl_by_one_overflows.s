# SPDX-License-Identifier: Apache-2.0
#: in rax=0x40
#: out rax=0x80 of=1 sf=1 cf=0 pf=0 af=?
.intel_syntax noprefix
    shl al, 1
