# SPDX-License-Identifier: Apache-2.0
#: in rbx=0x1ffffffff
#: out rax=1
.intel_syntax noprefix
    lea rax, [ebx+2]
