# SPDX-License-Identifier: Apache-2.0
# An NMI wakes who sleeps with IF clear, and does not nest: the second waits for IRET.
#: processors 2
#: exit 2
#: [0x20000] = 01 02 01
.include "computer.inc"
    gate 2, on_nmi
    start_second
    wait_for 0x20000, 1
    send 0x4400
    wait_for 0x20001, 1
    send 0x4400
    mov byte ptr ds:[0x20003], 1
    wait_for 0x20001, 2
    exit ds:[0x20001]
second_enters started
    load_idt
    mov byte ptr ds:[0x20000], 1
    cli
1:  hlt
    jmp 1b
on_nmi:
    inc byte ptr ds:[0x20001]
    cmp byte ptr ds:[0x20001], 2
    je 2f
    wait_for 0x20003, 1         # the second is there by now
    cmp byte ptr ds:[0x20001], 1
    jne 2f
    mov byte ptr ds:[0x20002], 1
2:  iretd
#: [0x20003] = 01
