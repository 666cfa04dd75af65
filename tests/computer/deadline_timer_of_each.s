# SPDX-License-Identifier: Apache-2.0
# Each processor sleeps until its own timer; the later one is not woken by the earlier.
#: processors 2
#: exit 2
#: [0x20000] = 02
.include "computer.inc"
    gate 0x40, interrupt
    start_second
    load_idt
    enable_apic
    mov dword ptr ds:[apic + 0x320], 0x40
    mov dword ptr ds:[apic + 0x3e0], 0xb
    mov dword ptr ds:[apic + 0x380], 50000
    sti
    hlt
    exit ds:[0x20000]
second_enters started
    load_idt
    enable_apic
    mov dword ptr ds:[apic + 0x320], 0x40
    mov dword ptr ds:[apic + 0x3e0], 0xb
    mov dword ptr ds:[apic + 0x380], 10000
    sti
    hlt
    cli
    hlt
interrupt:
    inc byte ptr ds:[0x20000]
    mov dword ptr ds:[apic_eoi], 0
    iretd
