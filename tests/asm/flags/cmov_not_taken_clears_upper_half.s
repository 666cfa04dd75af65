# SPDX-License-Identifier: Apache-2.0
#: in rax=0xffffffff00000007 rbx=1 zf=0
#: out rax=7
.intel_syntax noprefix
    cmovz eax, ebx
