# SPDX-License-Identifier: Apache-2.0
# A repeated store to the local APIC: its first iteration interrupts the processor, before the second.
#: processors 1
#: exit 1
#: [0x20000] = 01
#: [0x20004] = 02 00 00 00
.include "computer.inc"
    gate 0x40, interrupt
    load_idt
    enable_apic
    sti
    cld
    mov edi, apic_command
    mov eax, 0x44040
    mov ecx, 3
    rep stosd
    nop
    exit ds:[0x20000]
second_enters never
interrupt:
    inc byte ptr ds:[0x20000]
    mov ds:[0x20004], ecx
    mov dword ptr ds:[apic_eoi], 0
    iretd
