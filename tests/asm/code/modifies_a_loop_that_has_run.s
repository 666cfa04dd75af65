# SPDX-License-Identifier: Apache-2.0
#: in rcx=3 rax=0
#: out rax=0x21 rcx=0 zf=1 pf=1
#: out [0x10002] = 10
.intel_syntax noprefix
    # Adds 1 the first time and 10H the second and third.
1:  add eax, 1
    mov byte ptr [rip+1b+2], 0x10
    dec ecx
    jnz 1b
