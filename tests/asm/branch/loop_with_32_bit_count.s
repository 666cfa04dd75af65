# SPDX-License-Identifier: Apache-2.0
#: in rcx=0xffffffff00000001 rax=0
#: out rcx=0
.intel_syntax noprefix
1:  .byte 0x67
    loop 1b
    nop
    jmp 2f
2:
