# SPDX-License-Identifier: Apache-2.0
# From 64-bit mode, in which a guest starts, to the state that the programs expect: 32-bit
# protected mode without paging, flat segments 8 and 10H with their descriptors at 1000H. The page
# tables of the start may be there, so that paging ends first.
.intel_syntax noprefix
.code64
    cli
    lea rsp, [rip + top_of_stack]
    lgdt [rip + gdt_pointer]
    push 8
    lea rax, [rip + compatibility]
    push rax
    retfq
    .balign 8
gdt:
    .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdt_pointer:
    .word 23
    .quad gdt
low_gdt_pointer:
    .word 23
    .long 0x1000
.code32
compatibility:
    mov eax, cr0
    and eax, 0x7fffffff
    mov cr0, eax
    mov ecx, 0xc0000080
    xor eax, eax
    xor edx, edx
    wrmsr
    mov ax, 16
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov fs, ax
    mov gs, ax
    mov esi, offset gdt
    mov edi, 0x1000
    mov ecx, 6
    rep movsd
    lgdt [low_gdt_pointer]
    mov esp, 0x80000
    mov ecx, 0x10000
    jmp ecx
    .balign 8
    .skip 64
top_of_stack:
