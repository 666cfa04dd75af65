# SPDX-License-Identifier: Apache-2.0
#: in rbx=0x1280
#: out rax=0x12
.intel_syntax noprefix
    movzx eax, bh
