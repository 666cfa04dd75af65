# SPDX-License-Identifier: Apache-2.0
#: in [0x20ffe] = 7e 03
#: fault #PF(2) cr2=0x50000 at=0x1000b
.intel_syntax noprefix
    fninit
    fldcw word ptr [0x20ffe]
    fld1
    fistp dword ptr [0x50000]
