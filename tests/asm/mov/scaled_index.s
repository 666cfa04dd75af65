# SPDX-License-Identifier: Apache-2.0
#: in rbx=0x1fff0 rsi=3
#: in [0x20018] = 99
#: out rcx=0x99
.intel_syntax noprefix
    movzx ecx, byte ptr [rbx+rsi*8+0x10]
