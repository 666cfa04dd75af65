# SPDX-License-Identifier: Apache-2.0
#: cpl 3
#: in cr0=0x80050033 ac=1 rbx=0x20004 rax=0
#: in [0x20004] = 78 56 34 12 00 00
#: in [0x2000a] = 00 00 00 00 00 00
#: out rax=0x12345678
#: fault #AC(0) at=0x10003
.intel_syntax noprefix
    lfs eax, [rbx]
    lfs eax, [rbx + 6]
