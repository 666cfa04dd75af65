# SPDX-License-Identifier: Apache-2.0
# Processor 1 starts in real mode at the page of the start-up IPI and says who it is.
#: processors 2
#: exit 7
#: [0x20000] = 01 00 00 01
.include "computer.inc"
    start_second
    wait_for 0x20000, 1
    exit 7
second_enters started
    mov eax, ds:[apic_id]
    mov ds:[0x20000], eax
    mov byte ptr ds:[0x20000], 1
    cli
    hlt
