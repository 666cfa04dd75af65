# SPDX-License-Identifier: Apache-2.0
# What brings a processor up that starts in real mode: protected mode, PAE, IA-32e mode, 64-bit
# mode. The tables of pages are those of the machine (100000H), the GDT is here.
#: mode real16
#: out rax=? rcx=0xc0000080 rdx=? rbx=0x1122334455667788 rsp=0x3f000 rsi=0x500 rdi=?
#: out zf=? pf=? sf=?
.intel_syntax noprefix
.code16
start:
    cli
    mov ax, cs
    mov ds, ax
    lgdt cs:[gdt_pointer]
    mov eax, cr0
    or al, 1
    mov cr0, eax
    .byte 0x66, 0xea            # jmp 08H:protected, 32-bit offset
    .long 0x10000 + protected
    .word 8
.code32
protected:
    mov ax, 0x10
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov esp, 0x3f000
    mov eax, cr4
    or eax, 0x20
    mov cr4, eax
    mov eax, 0x100000
    mov cr3, eax
    mov ecx, 0xc0000080
    rdmsr
    or eax, 0x100
    wrmsr
    mov eax, cr0
    or eax, 0x80000000
    mov cr0, eax
    rdmsr
    mov esi, eax                # LME and LMA
    .byte 0xea                  # jmp 18H:long_mode
    .long 0x10000 + long_mode
    .word 0x18
.balign 8
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff    # code, 32 bits
    .quad 0x00cf93000000ffff    # data
    .quad 0x00af9b000000ffff    # code, 64 bits
gdt_pointer:
    .word 31
    .long 0x10000 + gdt
.code64
long_mode:
    mov rbx, 0x1122334455667788
