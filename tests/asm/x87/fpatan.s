# SPDX-License-Identifier: Apache-2.0
#: in [0x2fff0] = 7f 03
#: in [0x20000] = 00 00 00 00 00 00 00 80 ff 3f
#: in [0x20010] = 00 00 00 00 00 00 00 80 ff 3f
#: out [0x21000] = 35 c2 68 21 a2 da 0f c9 fe 3f
#: in [0x20020] = 00 00 00 00 00 00 00 80 ff 3f
#: in [0x20030] = 00 00 00 00 00 00 00 90 05 40
#: out [0x21010] = 19 1f a9 26 15 7a 8a e3 f8 3f
#: in [0x20040] = 00 00 00 00 00 00 00 c0 fe bf
#: in [0x20050] = 00 00 00 00 00 00 00 a0 fd bf
#: out [0x21020] = 00 d9 b4 0f 94 5e 98 fb ff bf
#: in [0x20060] = 78 56 34 12 21 43 65 87 f0 3f
#: in [0x20070] = 10 32 54 76 98 ba dc fe 10 c0
#: out [0x21030] = 35 c2 68 ff a1 da 0f c9 00 40
#: in [0x20080] = 78 56 34 12 21 43 65 87 20 40
#: in [0x20090] = 10 32 54 76 98 ba dc fe f0 3f
#: out [0x21040] = 44 d1 67 21 a2 da 0f c9 ff 3f
.intel_syntax noprefix
    fninit
    fldcw word ptr [0x2fff0]
    fld tbyte ptr [0x20000]
    fld tbyte ptr [0x20010]
    fpatan
    fstp tbyte ptr [0x21000]
    fld tbyte ptr [0x20020]
    fld tbyte ptr [0x20030]
    fpatan
    fstp tbyte ptr [0x21010]
    fld tbyte ptr [0x20040]
    fld tbyte ptr [0x20050]
    fpatan
    fstp tbyte ptr [0x21020]
    fld tbyte ptr [0x20060]
    fld tbyte ptr [0x20070]
    fpatan
    fstp tbyte ptr [0x21030]
    fld tbyte ptr [0x20080]
    fld tbyte ptr [0x20090]
    fpatan
    fstp tbyte ptr [0x21040]
