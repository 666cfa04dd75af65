# SPDX-License-Identifier: Apache-2.0
#: cpl 0
#: in cr4=0x6a0 rcx=3
#: in [0x20000] = 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
#: in [0x103300] = 07 01 06 00 00 00 00 00
#: in [0x60010] = 78 56 34 12
#: out rax=0x12345678 rbx=0x12345678 rdx=0x12345678 rcx=2
#: fault #PF(0) cr2=0x60010 at=0x10060
.intel_syntax noprefix
    mov eax, [0x60010]
    mov dword ptr [0x103300], 0
    invpcid rcx, [0x20000]
    mov ebx, [0x60010]
    mov ecx, 1
    invpcid rcx, [0x20000]
    mov edx, [0x60010]
    mov ecx, 2
    invpcid rcx, [0x20000]
    .org 0x60, 0x90
    mov esi, [0x60010]
