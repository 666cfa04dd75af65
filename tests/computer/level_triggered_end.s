# SPDX-License-Identifier: Apache-2.0
# The serial port asks by level while its transmitter is empty: the I/O APIC's pin is served again
# after each end of interrupt, until nobody asks.
#: processors 1
#: exit 3
#: [0x20000] = 03 01
.include "computer.inc"
.set ioapic, 0xfec00000
    gate 0x61, interrupt
    load_idt
    enable_apic
    mov dword ptr ds:[ioapic], 0x18             # pin 4, low
    mov dword ptr ds:[ioapic + 0x10], 0x8061    # by level, to processor 0
    mov dx, 0x3fc                               # OUT2 lets the port's interrupts through
    mov al, 8
    out dx, al
    mov dx, 0x3f9
    mov al, 2
    out dx, al
    sti
    mov ecx, 1000
1:  pause
    loop 1b
    mov dword ptr ds:[ioapic], 0x18
    test dword ptr ds:[ioapic + 0x10], 0x4000   # remote IRR
    setz ds:[0x20001]
    exit ds:[0x20000]
interrupt:
    pushad
    inc byte ptr ds:[0x20000]
    cmp byte ptr ds:[0x20000], 3
    jne 1f
    mov dx, 0x3f9
    mov al, 0
    out dx, al
1:  mov dword ptr ds:[apic_eoi], 0
    popad
    iretd
second_enters never
    hlt
