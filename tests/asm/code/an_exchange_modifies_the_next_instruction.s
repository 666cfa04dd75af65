# SPDX-License-Identifier: Apache-2.0
#: in rax=0 rcx=0x90909090
#: out rcx=0x01b001b0 rax=0
#: out [0x10008] = 90 90 90 90
.intel_syntax noprefix
    xchg dword ptr [rip + 1f], ecx
    .org 0x8, 0x90
1:  mov al, 1
    mov al, 1
