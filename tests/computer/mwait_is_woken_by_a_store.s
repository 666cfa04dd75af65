# SPDX-License-Identifier: Apache-2.0
# A store of another processor to the monitored line, interrupts being masked.
#: processors 2
#: exit 5
#: [0x20000] = 01 01
#: [0x20047] = 01
.include "computer.inc"
    start_second
    wait_for 0x20000, 1
    mov ecx, 5000
1:  loop 1b
    cmp byte ptr ds:[0x20001], 0
    jne 2f
    mov byte ptr ds:[0x20047], 1
    wait_for 0x20001, 1
    exit 5
2:  exit 6
second_enters started
    mov eax, 0x20040
    xor ecx, ecx
    xor edx, edx
    monitor
    mov byte ptr ds:[0x20000], 1
    xor eax, eax
    mwait
    mov byte ptr ds:[0x20001], 1
    hlt
