# SPDX-License-Identifier: Apache-2.0
#: mode real16
#: in rbx=0 rax=0
#: in [0x20000] = 34 12 00 25
#: in [0x26234] = 99
#: out rbx=0x1234 rax=0x99
.intel_syntax noprefix
.code16
    les bx, [0]
    mov al, es:[bx]
