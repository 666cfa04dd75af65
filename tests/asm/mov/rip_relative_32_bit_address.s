# SPDX-License-Identifier: Apache-2.0
#: out rax=0x55
.intel_syntax noprefix
    movzx eax, byte ptr [eip+1f]
    jmp 2f
1:  .byte 0x55
2:
