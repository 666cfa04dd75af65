# SPDX-License-Identifier: Apache-2.0
# RSP is put behind two MOV AL, 1; eight NOPs are pushed over them.
#: in rax=0 rcx=0x9090909090909090
#: out rsp=?
#: out [0x10010] = 90 90 90 90 90 90 90 90
.intel_syntax noprefix
    lea rsp, [rip + 2f]
    push rcx
    .org 0x10, 0x90
    mov al, 1
    mov al, 1
    mov al, 1
    mov al, 1
2:
