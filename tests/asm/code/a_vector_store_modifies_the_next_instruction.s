# SPDX-License-Identifier: Apache-2.0
#: in rax=0
#: in [0x20000] = 90 90 90 90 90 90 90 90 90 90 90 90 90 90 90 90
#: out rax=0
#: out [0x10010] = 90 90 90 90 90 90 90 90 90 90 90 90 90 90 90 90
.intel_syntax noprefix
    movups xmm0, [0x20000]
    movups [rip + 1f], xmm0
    .org 0x10, 0x90
1:  .rept 8
    mov al, 1
    .endr
