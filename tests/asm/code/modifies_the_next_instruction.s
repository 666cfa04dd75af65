# SPDX-License-Identifier: Apache-2.0
#: out [0x10009] = 42
#: out rax=0x1010101090101042
.intel_syntax noprefix
    mov byte ptr [rip+1f+1], 0x42
    nop
1:  mov al, 0x11
