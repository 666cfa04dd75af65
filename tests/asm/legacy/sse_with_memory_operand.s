# SPDX-License-Identifier: Apache-2.0
#: mode protected32
#: in rbx=0x20000
#: in [0x20010] = 01 00 00 00 02 00 00 00 03 00 00 00 04 00 00 00
#: out [0x20020] = 02 00 00 00 04 00 00 00 06 00 00 00 08 00 00 00
.intel_syntax noprefix
.code32
    movdqa xmm1, [ebx+0x10]
    paddd xmm1, [ebx+0x10]
    movdqa [ebx+0x20], xmm1
