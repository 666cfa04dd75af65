# SPDX-License-Identifier: Apache-2.0
# ECX bit 0: an interrupt ends the wait though IF is clear, and stays pending.
#: processors 2
#: exit 5
#: [0x20000] = 01 01 00
.include "computer.inc"
    gate 0x40, interrupt
    start_second
    wait_for 0x20000, 1
    mov ecx, 5000
1:  pause
    loop 1b
    send 0x4040
    wait_for 0x20001, 1
    exit 5
second_enters started
    load_idt
    enable_apic
    cli
    mov eax, 0x20040
    xor ecx, ecx
    xor edx, edx
    monitor
    mov byte ptr ds:[0x20000], 1
    xor eax, eax
    inc ecx
    mwait
    mov byte ptr ds:[0x20001], 1
1:  pause
    jmp 1b
interrupt:
    inc byte ptr ds:[0x20002]
    hlt
