# SPDX-License-Identifier: Apache-2.0
#: in rcx=2 rax=0 rbx=0x5a
#: out rcx=0 rax=0x5a zf=1 pf=1
#: out [0x11001] = 5a
.intel_syntax noprefix
    # The second page holds MOV AL, 1 at first, then MOV AL, 5AH.
1:  jmp 2f
3:  mov byte ptr [rip+2f+1], bl
    dec ecx
    jnz 1b
    jmp 4f
    .org 0x1000
2:  mov al, 1
    jmp 3b
4:
