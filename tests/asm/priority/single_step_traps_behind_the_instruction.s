# SPDX-License-Identifier: Apache-2.0
#: in tf=1
#: out rax=1
#: fault #DB at=0x10005
.intel_syntax noprefix
    mov eax, 1
    mov eax, [0x50000]
