# SPDX-License-Identifier: Apache-2.0
#: processors 1
#: exit 1
#: [0x20000] = 01
.include "computer.inc"
    gate 0x40, interrupt
    load_idt
    enable_apic
    sti
    mov dword ptr ds:[apic_command], 0x44040
    nop
    exit ds:[0x20000]
second_enters never
interrupt:
    inc byte ptr ds:[0x20000]
    mov dword ptr ds:[apic_eoi], 0
    iretd
