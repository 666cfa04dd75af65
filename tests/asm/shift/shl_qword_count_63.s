# SPDX-License-Identifier: Apache-2.0
#: in rax=3
#: out rax=0x8000000000000000 cf=1 sf=1 pf=1 of=? af=?
.intel_syntax noprefix
    shl rax, 63
