# SPDX-License-Identifier: Apache-2.0
#: in rax=0x80000000 rbx=1
#: out rax=0x7fffffff rcx=1 rdx=0 rsi=1 of=1 af=1 pf=1
.intel_syntax noprefix
    mov ecx, 0
    mov edx, 0
    mov esi, 0
    sub eax, ebx
    setl cl
    setge dl
    seta sil
