# SPDX-License-Identifier: Apache-2.0
#: in rax=0x80000000 rcx=33 rdi=1 cf=1
#: out rbx=0xc0000000 rdx=0 rsi=0x40000000 rdi=0x200000000
.intel_syntax noprefix
    sarx ebx, eax, ecx
    shlx edx, eax, ecx
    shrx esi, eax, ecx
    shlx rdi, rdi, rcx
