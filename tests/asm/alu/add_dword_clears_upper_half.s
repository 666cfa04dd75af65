# SPDX-License-Identifier: Apache-2.0
#: in rdx=0xaaaabbbb7fffffff rcx=1
#: out rdx=0x80000000 sf=1 of=1 af=1 pf=1
.intel_syntax noprefix
    add edx, ecx
