# SPDX-License-Identifier: Apache-2.0
#: out rax=1
.intel_syntax noprefix
    clwb [0x20000]
    mov eax, 1
