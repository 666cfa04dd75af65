# SPDX-License-Identifier: Apache-2.0
#: in rax=0x1 cf=1 of=1 zf=1
#: out rcx=0x80000000
.intel_syntax noprefix
    rorx ecx, eax, 33
