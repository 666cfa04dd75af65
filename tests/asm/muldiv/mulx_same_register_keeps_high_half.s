# SPDX-License-Identifier: Apache-2.0
#: in rdx=0x80000000 rax=8
#: out rbx=4
.intel_syntax noprefix
    mulx ebx, ebx, eax
