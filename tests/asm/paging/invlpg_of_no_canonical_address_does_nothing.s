# SPDX-License-Identifier: Apache-2.0
#: cpl 0
#: in rcx=0x8000000000000000
#: out rax=1
.intel_syntax noprefix
    invlpg [rcx]
    mov eax, 1
