# SPDX-License-Identifier: Apache-2.0
# SYSRET with 32-bit operands goes to 32-bit code of CPL 3; SYSENTER comes back to 64-bit mode.
#: cpl 0
#: out rax=0x3e000 rbx=0x53 rcx=? rdx=? rsi=0x5b rdi=0x70 rbp=0x78 r8=0x1020304050607080 r11=2
#: out rsp=0x3e000
.intel_syntax noprefix
    mov r8, 0x1020304050607080
    mov ecx, 0xc0000081
    mov edx, 0x00500000
    mov eax, 0
    wrmsr
    mov edx, 0
    mov ecx, 0x174
    mov eax, 0x70
    wrmsr
    mov ecx, 0x175
    mov eax, 0x3e000
    wrmsr
    mov ecx, 0x176
    mov eax, offset kernel
    wrmsr
    mov r11d, 2
    mov ecx, offset user
    .byte 0x0f, 0x07            # SYSRET without REX.W
.code32
user:
    mov ebx, cs
    mov esi, ss
    sysenter
.code64
kernel:
    mov edi, cs
    mov ebp, ss
    mov rax, rsp
