# SPDX-License-Identifier: Apache-2.0
# A change of CR4.PGE reaches all PCIDs.
#: cpl 0
#: in cr4=0x206a0 rbx=0
#: in [0x60010] = 11 11 00 00
#: in [0x70010] = 22 22 00 00
#: in [0x103300] = 07 01 06 00 00 00 00 00
#: out rax=0x1111 rdx=0x2222 rcx=0 rsi=? rdi=? rbx=0x206a0
.intel_syntax noprefix
    mov eax, [0x60010]
    mov esi, 0x100000
    mov edi, 0x200000
    mov ecx, 0x800
    rep movsq                   # all four tables
    mov dword ptr [0x200000], 0x201007
    mov dword ptr [0x201000], 0x202007
    mov dword ptr [0x202000], 0x203007
    mov esi, 0x200001
    mov cr3, rsi
    mov dword ptr [0x103300], 0x70107
    mov rbx, cr4
    btr ebx, 7
    mov cr4, rbx
    bts ebx, 7
    mov cr4, rbx
    mov esi, 0x100000
    bts rsi, 63
    mov cr3, rsi
    mov edx, [0x60010]
    clc
