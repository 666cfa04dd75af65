# SPDX-License-Identifier: Apache-2.0
# An interrupt for a processor that sleeps, three times.
#: processors 2
#: exit 3
#: [0x20001] = 03
.include "computer.inc"
    gate 0x40, interrupt
    start_second
    wait_for 0x20000, 1
    mov ebx, 1
1:  send 0x4040
2:  pause
    cmp ds:[0x20001], bl
    jne 2b
    inc ebx
    cmp ebx, 4
    jne 1b
    exit ds:[0x20001]
second_enters started
    load_idt
    enable_apic
    mov byte ptr ds:[0x20000], 1
    sti
1:  hlt
    jmp 1b
interrupt:
    inc byte ptr ds:[0x20001]
    mov dword ptr ds:[apic_eoi], 0
    iretd
