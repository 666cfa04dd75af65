# SPDX-License-Identifier: Apache-2.0
# Processor 1 never pauses, so each of its turns takes 10,000 instructions; a turn of processor 0
# ends at PAUSE, and the time stamp tells.
#: processors 2
#: exit 1
.include "computer.inc"
    start_second
    wait_for 0x20000, 1
    pause
    rdtsc
    mov ebx, eax
    pause
    rdtsc
    sub eax, ebx
    cmp eax, 10002              # the others' turn, PAUSE and RDTSC or so
    jb 2f
    cmp eax, 10010
    ja 3f
    rdtsc
    mov ebx, eax
    nop
    rdtsc
    sub eax, ebx
    cmp eax, 3
    ja 4f
    exit 1
2:  exit 2
3:  exit 3
4:  exit 4
second_enters started
    mov byte ptr ds:[0x20000], 1
1:  jmp 1b
#: [0x20000] = 01
