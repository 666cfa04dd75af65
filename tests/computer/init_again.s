# SPDX-License-Identifier: Apache-2.0
# INIT and start-up: a running processor begins anew.
#: processors 2
#: exit 2
#: [0x20000] = 02
.include "computer.inc"
    start_second
    wait_for 0x20000, 1
    start_second
    wait_for 0x20000, 2
    exit ds:[0x20000]
second_enters started
    inc byte ptr ds:[0x20000]
1:  pause
    jmp 1b
