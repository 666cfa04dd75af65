# SPDX-License-Identifier: Apache-2.0
# Both add to one counter without losing a step.
#: processors 2
#: exit 1
#: [0x20004] = 40 0d 03 00
.include "computer.inc"
    start_second
    mov ecx, 100000
1:  lock inc dword ptr ds:[0x20004]
    loop 1b
    wait_for 0x20000, 1
    exit 1
second_enters started
    mov ecx, 100000
    mov eax, 1
1:  lock xadd dword ptr ds:[0x20004], eax
    mov eax, 1
    loop 1b
    mov byte ptr ds:[0x20000], 1
    hlt
#: [0x20000] = 01
