# SPDX-License-Identifier: Apache-2.0
#: in cf=1
#: out [0x20000] = 00 00 80 3f 00 00 00 00
.intel_syntax noprefix
    fninit
    fld1
    fldz
    fcmovb st, st(1)
    fstp dword ptr [0x20000]
    fldz
    fcmovnb st, st(1)
    fstp dword ptr [0x20004]
