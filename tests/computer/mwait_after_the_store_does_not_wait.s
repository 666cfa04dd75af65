# SPDX-License-Identifier: Apache-2.0
# The store comes between MONITOR and MWAIT.
#: processors 2
#: exit 5
#: [0x20000] = 01 01
#: [0x20040] = 01
.include "computer.inc"
    start_second
    wait_for 0x20040, 0
    wait_for 0x20000, 1
    mov byte ptr ds:[0x20040], 1
    mov byte ptr ds:[0x20002], 1
    wait_for 0x20001, 1
    exit 5
second_enters started
    mov eax, 0x20040
    xor ecx, ecx
    xor edx, edx
    monitor
    mov byte ptr ds:[0x20000], 1
    wait_for 0x20002, 1
    xor eax, eax
    mwait
    mov byte ptr ds:[0x20001], 1
    hlt
#: [0x20002] = 01
