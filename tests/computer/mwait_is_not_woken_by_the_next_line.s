# SPDX-License-Identifier: Apache-2.0
#: processors 2
#: exit 5
#: [0x20000] = 01 00
#: [0x2003f] = 01
#: [0x20080] = 01
.include "computer.inc"
    start_second
    wait_for 0x20000, 1
    mov ecx, 5000
1:  pause
    loop 1b
    mov byte ptr ds:[0x2003f], 1
    mov byte ptr ds:[0x20080], 1
    mov ecx, 50000
1:  pause
    loop 1b
    exit 5
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
