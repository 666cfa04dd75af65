# SPDX-License-Identifier: Apache-2.0
#: in cr4=0x400620 pkru=12
#: in [0x103300] = 07 00 06 00 00 00 00 08
#: in [0x60000] = ff e0
#: in rcx=0x60000
#: out rax=?
.intel_syntax noprefix
    lea rax, [rip + 1f]
    jmp rcx
1:
