# SPDX-License-Identifier: Apache-2.0
#: mode protected32
#: in rax=5 rbx=0x20000 rcx=2
#: in [0x20008] = 07 00 00 00
#: out rax=12 rdx=0x2000c rsi=12 pf=1
#: out [0x2000c] = 0c 00 00 00
#: out [0x3effc] = 0c 00 00 00
.intel_syntax noprefix
.code32
    add eax, [ebx+ecx*4]
    lea edx, [ebx+ecx*4+4]
    mov [edx], eax
    push eax
    pop esi
