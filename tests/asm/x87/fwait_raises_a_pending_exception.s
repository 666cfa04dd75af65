# SPDX-License-Identifier: Apache-2.0
#: in [0x20000] = 7b 03
#: fault #MF at=0x1000f
.intel_syntax noprefix
    fninit
    fldcw word ptr [0x20000]
    fld1
    fldz
    fdivr st, st(1)
    fwait
