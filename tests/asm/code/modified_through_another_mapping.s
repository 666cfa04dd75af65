# SPDX-License-Identifier: Apache-2.0
# 61000H is the page of 60000H: what is stored there is run here.
#: in [0x103308] = 07 00 06 00 00 00 00 00
#: in [0x60000] = b0 01 ff e3
#: in rcx=0x60000 rdx=2 rbp=0x5a rax=0
#: out rax=0x5a rbx=? rdx=0 zf=1 pf=1
#: out [0x60001] = 5a
.intel_syntax noprefix
    lea rbx, [rip + 1f]
    jmp rcx                     # MOV AL, 1; JMP RBX
1:  mov byte ptr [0x61001], bpl
    dec edx
    jz 2f
    jmp rcx
2:
