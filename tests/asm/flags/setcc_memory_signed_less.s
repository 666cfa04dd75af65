# SPDX-License-Identifier: Apache-2.0
#: in rax=1 rbx=2
#: out [0x20000] = 01 00
#: out cf=1 sf=1 pf=1 af=1
.intel_syntax noprefix
    cmp eax, ebx
    setl byte ptr [0x20000]
    setg byte ptr [0x20001]
