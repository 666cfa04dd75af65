# SPDX-License-Identifier: Apache-2.0
#: cpl 0
#: in rcx=2
#: in [0x20000] = 00 00 00 00 00 00 00 00 00 00 06 00 00 00 00 00
#: in [0x60010] = 78 56 34 12
#: out rax=0x12345678
#: fault #PF(0) cr2=0x60010 at=0x10020
.intel_syntax noprefix
    mov eax, [0x60010]
    mov dword ptr [0x103300], 0
    invpcid rcx, [0x20000]
    .org 0x20, 0x90
    mov eax, [0x60010]
