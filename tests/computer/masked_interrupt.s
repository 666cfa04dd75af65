# SPDX-License-Identifier: Apache-2.0
# With IF clear it waits; HLT is not left.
#: processors 2
#: exit 9
#: [0x20000] = 01 00
.include "computer.inc"
    gate 0x40, interrupt
    start_second
    wait_for 0x20000, 1
    send 0x4040
    mov ecx, 50000
1:  pause
    loop 1b
    exit 9
second_enters started
    load_idt
    enable_apic
    mov byte ptr ds:[0x20000], 1
    cli
    hlt
interrupt:
    inc byte ptr ds:[0x20001]
    hlt
