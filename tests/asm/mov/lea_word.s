# SPDX-License-Identifier: Apache-2.0
#: in rax=0x1111111111111111 rbx=0x12345
#: out rax=0x1111111111112346
.intel_syntax noprefix
    lea ax, [rbx+1]
