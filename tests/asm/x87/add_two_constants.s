# SPDX-License-Identifier: Apache-2.0
#: out [0x20000] = 00 00 00 00 00 00 00 40
#: instructions 5
.intel_syntax noprefix
    fninit
    fld1
    fld1
    faddp st(1), st
    fstp qword ptr [0x20000]
