# SPDX-License-Identifier: Apache-2.0
#: in rax=0x90 rcx=6
#: out rcx=0 rdi=? rax=0x90
#: out [0x10010] = 90 90 90 90 90 90
.intel_syntax noprefix
    lea rdi, [rip + 1f]
    rep stosb
    .org 0x10, 0x90
1:  mov al, 1
    mov al, 1
    mov al, 1
