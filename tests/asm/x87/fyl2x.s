# SPDX-License-Identifier: Apache-2.0
#: in [0x2fff0] = 7f 03
#: in [0x20000] = 00 00 00 00 00 00 00 80 ff 3f
#: in [0x20010] = 00 00 00 00 00 00 00 a0 02 40
#: out [0x21000] = fe 8a 1b cd 4b 78 9a d4 00 40
#: in [0x20020] = ac 79 cf d1 f7 17 72 b1 fe 3f
#: in [0x20030] = 01 00 00 00 00 00 00 80 ff 3f
#: out [0x21010] = ff ff ff ff ff ff ff ff bf 3f
#: in [0x20040] = 00 00 00 00 00 00 00 c0 00 c0
#: in [0x20050] = ff ff ff ff ff ff ff ff fe 3f
#: out [0x21020] = 8d f4 11 05 5f ac 7f 8a c1 3f
#: in [0x20060] = 99 f7 cf fb 84 9a 20 9a fd 3f
#: in [0x20070] = 00 00 40 76 3a 6b 0b de 3a 40
#: out [0x21030] = 00 00 00 00 00 00 00 90 03 40
#: in [0x20080] = 00 00 00 00 00 00 00 80 03 40
#: in [0x20090] = 00 00 00 00 00 00 00 80 f5 3f
#: out [0x21040] = 00 00 00 00 00 00 00 a0 06 c0
.intel_syntax noprefix
    fninit
    fldcw word ptr [0x2fff0]
    fld tbyte ptr [0x20000]
    fld tbyte ptr [0x20010]
    fyl2x
    fstp tbyte ptr [0x21000]
    fld tbyte ptr [0x20020]
    fld tbyte ptr [0x20030]
    fyl2x
    fstp tbyte ptr [0x21010]
    fld tbyte ptr [0x20040]
    fld tbyte ptr [0x20050]
    fyl2x
    fstp tbyte ptr [0x21020]
    fld tbyte ptr [0x20060]
    fld tbyte ptr [0x20070]
    fyl2x
    fstp tbyte ptr [0x21030]
    fld tbyte ptr [0x20080]
    fld tbyte ptr [0x20090]
    fyl2x
    fstp tbyte ptr [0x21040]
