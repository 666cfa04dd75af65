# SPDX-License-Identifier: Apache-2.0
# A start-up IPI alone starts nobody who is running.
#: processors 2
#: exit 1
#: [0x20000] = 01
.include "computer.inc"
    start_second
    wait_for 0x20000, 1
    send 0x4611
    mov ecx, 30000
1:  pause
    loop 1b
    exit ds:[0x20000]
second_enters started
    inc byte ptr ds:[0x20000]
1:  pause
    jmp 1b
