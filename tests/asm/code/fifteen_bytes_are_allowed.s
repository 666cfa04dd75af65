# SPDX-License-Identifier: Apache-2.0
#: in rax=1 rbx=2
#: out rax=3 pf=1
.intel_syntax noprefix
    .fill 13, 1, 0x2e
    add eax, ebx
