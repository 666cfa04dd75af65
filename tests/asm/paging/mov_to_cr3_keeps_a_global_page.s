# SPDX-License-Identifier: Apache-2.0
# The page's entry is taken away, and only CR4.PGE makes the processor forget it.
#: cpl 0
#: in cr4=0x6a0
#: in [0x103300] = 07 01 06 00 00 00 00 00
#: in [0x60010] = 78 56 34 12
#: out rax=0x12345678 rcx=0x100000 rdx=0x620
#: fault #PF(0) cr2=0x60010 at=0x10040
.intel_syntax noprefix
    mov eax, [0x60010]
    mov dword ptr [0x103300], 0
    mov rcx, cr3
    mov cr3, rcx
    xor eax, eax
    mov eax, [0x60010]
    mov rdx, cr4
    btr edx, 7
    mov cr4, rdx
    .org 0x40, 0x90
    mov ebx, [0x60010]
#: out zf=1 pf=1 cf=1
