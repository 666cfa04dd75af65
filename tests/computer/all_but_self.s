# SPDX-License-Identifier: Apache-2.0
# The shorthand reaches three processors and not the sender.
#: processors 4
#: exit 3
#: [0x20000] = 03 03
.include "computer.inc"
    gate 0x40, interrupt
    load_idt
    enable_apic
    sti
    mov dword ptr ds:[apic_command], 0xc4500
    mov dword ptr ds:[apic_command], 0xc4611
    wait_for 0x20000, 3
    mov dword ptr ds:[apic_command], 0xc4040
    wait_for 0x20001, 3
    mov ecx, 1000
1:  pause
    loop 1b
    exit ds:[0x20001]
second_enters started
    load_idt
    enable_apic
    mov esp, ds:[apic_id]       # a stack for each: processor n's ends at 70000H - n * 4096
    shr esp, 12
    neg esp
    add esp, 0x70000
    lock inc byte ptr ds:[0x20000]
    sti
1:  hlt
    jmp 1b
interrupt:
    lock inc byte ptr ds:[0x20001]
    mov dword ptr ds:[apic_eoi], 0
    iretd
