# SPDX-License-Identifier: Apache-2.0
#: in rax=0x123456789abcdef0 rcx=0x1008 cf=1 of=1
#: out rdx=0xbcde cf=0 of=0 sf=? af=? pf=?
.intel_syntax noprefix
    bextr rdx, rax, rcx
