# SPDX-License-Identifier: Apache-2.0
# A gate that is not present.
#: mode protected32
#: cpl 0
#: fault #NP(0x102) at=0x10100
.intel_syntax noprefix
.code32
    jmp start
start:
    mov byte ptr [0x3000 + 8*0x20 + 5], 0x0e
    jmp next
.org 0x100
next:
    int 0x20
