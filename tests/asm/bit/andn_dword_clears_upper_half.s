# SPDX-License-Identifier: Apache-2.0
#: in rax=0xffffffff00000001 rbx=0xffffffff80000001
#: out rcx=0x80000000 sf=1 af=? pf=?
.intel_syntax noprefix
    andn ecx, eax, ebx
