# SPDX-License-Identifier: Apache-2.0
#: mode protected32
#: in cr0=0x80010033 cr3=0x202000 cr4=0x600
#: in [0x202000] = 07 30 20 00 87 10 20 00
#: in [0x203000] = 07 00 00 00 07 10 00 00 07 20 00 00 07 30 00 00 07 40 00 00 07 50 00 00 07 60 00 00 07 70 00 00 07 80 00 00
#: in [0x203040] = 07 00 01 00
#: in [0x201000] = 07 00 06 00
#: in [0x60010] = 78 56 34 12
#: out rax=0x12345678
.intel_syntax noprefix
.code32
    mov eax, ds:[0x400010]
