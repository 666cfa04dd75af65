# SPDX-License-Identifier: Apache-2.0
#: in [0x20000] = 7f 0f ff ff 00 38 ff ff ff 0f ff ff 00 00 00 00 00 00 00 00 00 00 00 00 00 00 ff ff
#: out [0x20030] = 00 00 00 00 00 00 00 00 00 00
#: out [0x20040] = 00 00 00 00 00 00 00 80 ff 3f
#: out [0x20050] = 7f 0f
.intel_syntax noprefix
    fninit
    fldz
    fld1
    fldenv [0x20000]
    fstp tbyte ptr [0x20030]
    fdecstp
    fdecstp
    fstp tbyte ptr [0x20040]
    fnstcw word ptr [0x20050]
