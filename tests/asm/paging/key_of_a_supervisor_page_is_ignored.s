# SPDX-License-Identifier: Apache-2.0
#: cpl 0
#: in cr4=0x400620 pkru=12
#: in [0x103300] = 03 00 06 00 00 00 00 08
#: in [0x60010] = 78 56 34 12
#: out rax=0x12345678
.intel_syntax noprefix
    mov eax, [0x60010]
