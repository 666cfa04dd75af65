# SPDX-License-Identifier: Apache-2.0
# Protected mode without IA-32e mode: to CPL 3 by SYSEXIT and back by SYSENTER; the segments are
# flat ones of 32 bits.
#: mode protected32
#: cpl 0
#: out rax=0x3e000 rbx=0x83 rcx=? rdx=? rsi=0x8b rdi=0x70 rbp=0x78 rsp=0x3e000
#: out zf=? pf=?
.intel_syntax noprefix
.code32
    xor edx, edx
    mov ecx, 0x174
    mov eax, 0x70
    wrmsr
    inc ecx
    mov eax, 0x3e000
    wrmsr
    inc ecx
    mov eax, offset kernel
    wrmsr
    mov edx, offset user
    mov ecx, 0x3d000
    sysexit
user:
    mov ebx, cs
    mov esi, ss
    sysenter
kernel:
    mov edi, cs
    mov ebp, ss
    mov eax, esp
