# SPDX-License-Identifier: Apache-2.0
# Two processors in x2APIC mode: IPIs by the ID and by the logical ID, an interrupt to oneself held
# back by the task priority, and the registers that say so.
#: processors 2
#: exit 7
#: [0x20000] = 02 02 01 01 02 01 50
.include "computer.inc"
.set x2_id, 0x802
.set x2_tpr, 0x808
.set x2_eoi, 0x80b
.set x2_ldr, 0x80d
.set x2_spurious, 0x80f
.set x2_isr_2, 0x812
.set x2_irr_2, 0x822
.set x2_command, 0x830
.set x2_self, 0x83f
.macro write msr, low, high
    mov ecx, \msr
    mov eax, \low
    mov edx, \high
    wrmsr
.endm
.macro enter_x2apic
    mov ecx, 0x1b
    rdmsr
    or eax, 0xc00
    wrmsr
    write x2_spurious, 0x1ff, 0
.endm
    gate 0x40, interrupt
    gate 0x50, to_itself
    start_second
    wait_for 0x20000, 1
    load_idt
    enter_x2apic
    write x2_command, 0x40, 1           # by its ID
    wait_for 0x20001, 1
    write x2_command, 0x840, 2          # by its bit of cluster 0
    wait_for 0x20001, 2
    write x2_tpr, 0x50, 0
    sti
    write x2_self, 0x50, 0
    nop
    mov ecx, x2_irr_2
    rdmsr
    bt eax, 0x10
    setc ds:[0x20002]
    cmp byte ptr ds:[0x20006], 0
    sete ds:[0x20005]
    write x2_tpr, 0x40, 0
    nop
    mov ecx, x2_ldr
    rdmsr
    mov ds:[0x20003], al
    exit 7
to_itself:
    mov ecx, x2_isr_2
    rdmsr
    bt eax, 0x10
    jnc 1f
    mov byte ptr ds:[0x20006], 0x50
1:  write x2_eoi, 0, 0
    iretd
second_enters started
    load_idt
    enter_x2apic
    mov ecx, x2_ldr
    rdmsr
    mov ds:[0x20004], al
    mov byte ptr ds:[0x20000], 1
    sti
1:  hlt
    jmp 1b
interrupt:
    inc byte ptr ds:[0x20001]
    write x2_eoi, 0, 0
    mov byte ptr ds:[0x20000], 2
    iretd
