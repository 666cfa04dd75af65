# SPDX-License-Identifier: Apache-2.0
#: in [0x101008] = 87 00 00 00 00 00 00 00
#: in [0x20010] = 78 56 34 12
#: out rax=0x12345678
.intel_syntax noprefix
    mov ecx, ecx
    mov eax, [0x40020010]
#: out rcx=?
