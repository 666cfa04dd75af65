# SPDX-License-Identifier: Apache-2.0
#: in rax=0x80000000 rcx=32
#: out rdx=0x80000000 cf=1 sf=1 af=? pf=?
.intel_syntax noprefix
    bzhi edx, eax, ecx
