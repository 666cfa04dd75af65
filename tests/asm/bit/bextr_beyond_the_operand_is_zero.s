# SPDX-License-Identifier: Apache-2.0
#: in rax=0xffffffffffffffff rcx=0x1020
#: out rdx=0 zf=1 sf=? af=? pf=?
.intel_syntax noprefix
    bextr edx, eax, ecx
