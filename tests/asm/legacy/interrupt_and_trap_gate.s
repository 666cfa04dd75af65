# SPDX-License-Identifier: Apache-2.0
# An interrupt gate clears IF, a trap gate leaves it; IRET brings it back.
#: mode protected32
#: cpl 0
#: in rax=0 rbx=0 rcx=0
#: out rax=0x0202 rbx=0x0002 rcx=0x0202
#: out [0x3eff0] = 02 02 00 00 04 01 01 00 38 00 00 00 02 02 00 00
#: out [0x3effc] = 02 02 00 00
.intel_syntax noprefix
.code32
base:
    jmp start
.balign 8
idt:
    .word trap - base, 0x38, 0x8f00, 1
    .word interrupt - base, 0x38, 0x8e00, 1
idt_pointer:
    .word 15
    .long idt
start:
    lidt [idt_pointer]
    sti
    jmp next
.org 0x100
next:
    int 1
    int 0
    pushfd
    pop ecx
    jmp end
interrupt:
    pushfd
    pop ebx
    iretd
trap:
    pushfd
    pop eax
    iretd
end:
