# SPDX-License-Identifier: Apache-2.0
#: in [0x20010] = 7b 03
#: out [0x20020] = 7b 03 ff ff 00 30 ff ff ff 1f ff ff 00 00 00 00 00 00 00 00 00 00 00 00 00 00 ff ff
#: out [0x20040] = 7f 03
.intel_syntax noprefix
    fninit
    fldcw word ptr [0x20010]
    fld1
    fldz
    fnstenv [0x20020]
    fnstcw word ptr [0x20040]
