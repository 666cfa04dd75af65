# SPDX-License-Identifier: Apache-2.0
#: cpl 0
#: mode protected32
#: in cr0=0x80010033 cr3=0x200000 cr4=0x610
#: in [0x200000] = 87 00 00 00 07 10 20 00
#: in [0x201000] = 05 00 06 00
#: in [0x60010] = 78 56 34 12
#: out rax=0x12345678
#: fault #PF(3) cr2=0x400010 at=0x10010
.intel_syntax noprefix
.code32
    mov eax, ds:[0x400010]
    .org 0x10, 0x90
    mov ds:[0x400010], eax
