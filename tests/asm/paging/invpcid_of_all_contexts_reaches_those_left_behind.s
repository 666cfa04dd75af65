# SPDX-License-Identifier: Apache-2.0
# The first space and its global page change while the second is in use.
#: cpl 0
#: in cr4=0x206a0
#: in [0x60010] = 11 11 00 00
#: in [0x70010] = 22 22 00 00
#: in [0x103300] = 07 01 06 00 00 00 00 00
#: in [0x20000] = 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
#: out rax=0x1111 rdx=0x2222 rcx=2 rsi=? rdi=?
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
    mov ecx, 2
    invpcid rcx, [0x20000]
    mov esi, 0x100000
    bts rsi, 63
    mov cr3, rsi
    mov edx, [0x60010]
    clc
