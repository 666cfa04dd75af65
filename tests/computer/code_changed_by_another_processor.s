# SPDX-License-Identifier: Apache-2.0
# Processor 1 runs a loop whose constant processor 0 changes.
#: processors 2
#: exit 0x5a
#: [0x20000] = 5a
.include "computer.inc"
    start_second
    wait_for 0x20000, 0x11
    mov byte ptr ds:[changed + 1], 0x5a
    wait_for 0x20000, 0x5a
    exit ds:[0x20000]
second_enters started
1:  call changed
    mov ds:[0x20000], al
    jmp 1b
changed:
    mov al, 0x11
    ret
