# SPDX-License-Identifier: Apache-2.0
#: in rax=0
#: out rax=3 pf=1
#: out [0x3eff8] = 05 00 01 00 00 00 00 00
#: instructions 6
.intel_syntax noprefix
    call 1f
    add eax, 1
    jmp 2f
1:  add eax, 1
    inc eax
    ret
2:
