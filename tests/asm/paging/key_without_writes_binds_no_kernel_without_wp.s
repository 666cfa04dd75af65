# SPDX-License-Identifier: Apache-2.0
#: cpl 0
#: in cr0=0x80000033 cr4=0x400620 pkru=8 rbx=0x12345678
#: in [0x103300] = 07 00 06 00 00 00 00 08
#: out [0x60010] = 78 56 34 12
.intel_syntax noprefix
    mov [0x60010], ebx
