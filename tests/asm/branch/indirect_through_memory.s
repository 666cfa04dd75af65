# SPDX-License-Identifier: Apache-2.0
#: in rbx=0x20000
#: in [0x20008] = 08 00 01 00 00 00 00 00
#: out rax=0x1010101090101077
.intel_syntax noprefix
    jmp qword ptr [rbx+8]
    ud2
    int3
    int3
    int3
    mov al, 0x77
