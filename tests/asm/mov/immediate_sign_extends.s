# SPDX-License-Identifier: Apache-2.0
#: out rax=0xffffffff80000000
.intel_syntax noprefix
    mov rax, -0x80000000
