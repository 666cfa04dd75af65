# SPDX-License-Identifier: Apache-2.0
#: in rdi=0x20000 rax=0x8877665544332211 rbx=0x80007fff00008000
#: out [0x20001] = 22
#: out [0x20004] = 55
#: out [0x20007] = 88
.intel_syntax noprefix
    fninit
    movq mm7, rax
    movq mm6, rbx
    maskmovq mm7, mm6
    emms
