# SPDX-License-Identifier: Apache-2.0
# The IDT is that of 64-bit mode: five 8-byte words on the current stack, IRETQ back to 32-bit code.
#: mode compat32
#: cpl 0
#: in rax=0 rbx=0 rcx=0 rdx=0
#: out rax=0x38 rbx=0x3f000 rcx=0x10 rdx=0x38 rbp=8
#: out [0x3efd8] = 29 00 01 00 00 00 00 00 38 00 00 00 00 00 00 00 02 00 00 00 00 00 00 00
#: out [0x3eff0] = 00 f0 03 00 00 00 00 00 10 00 00 00 00 00 00 00
.intel_syntax noprefix
.code32
base:
    mov dword ptr [0x2210], 0x00080000 + (handler - base)
    mov dword ptr [0x2214], 0x00018e00
    mov dword ptr [0x2218], 0
    jmp next
.org 0x27
next:
    int 0x21
    mov edx, cs
    jmp end
.code64
handler:
    mov eax, [rsp+8]
    mov ebx, [rsp+24]
    mov ecx, [rsp+32]
    mov ebp, cs
    iretq
end:
