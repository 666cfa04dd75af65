# SPDX-License-Identifier: Apache-2.0
#: cpl 0
#: mode protected32
#: in cr0=0x80000033 cr3=0x200000 cr4=0x610 rax=0x12345678
#: in [0x200000] = 87 00 00 00 07 10 20 00
#: in [0x201000] = 05 00 06 00
#: out [0x60010] = 78 56 34 12
.intel_syntax noprefix
.code32
    mov ds:[0x400010], eax
