# SPDX-License-Identifier: Apache-2.0
#: in rbx=0xfffffffffffffff0 rcx=0x10
#: out rax=0x30
.intel_syntax noprefix
    lea rax, [rbx+rcx*4]
