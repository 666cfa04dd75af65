# SPDX-License-Identifier: Apache-2.0
#: in [0x2fff0] = 7f 03
#: in [0x20000] = 00 00 00 00 00 00 00 80 ff 3f
#: in [0x20010] = 00 00 00 00 00 00 00 80 fd 3f
#: out [0x21000] = f2 57 dc 68 5e c2 d3 a4 fd 3f
#: in [0x20020] = ac 79 cf d1 f7 17 72 b1 fe 3f
#: in [0x20030] = 01 00 00 00 00 00 00 80 c0 3f
#: out [0x21010] = 01 00 00 00 00 00 00 80 c0 3f
#: in [0x20040] = 00 00 00 00 00 00 00 c0 00 c0
#: in [0x20050] = ab aa aa aa aa aa aa aa fc bf
#: out [0x21020] = f4 12 39 56 20 ab 02 ca fe 3f
#: in [0x20060] = 00 00 00 00 00 00 00 80 ff 3f
#: in [0x20070] = 11 92 79 e7 cf cc 13 d4 fd 3f
#: out [0x21030] = 00 00 00 00 00 00 00 80 fe 3f
.intel_syntax noprefix
    fninit
    fldcw word ptr [0x2fff0]
    fld tbyte ptr [0x20000]
    fld tbyte ptr [0x20010]
    fyl2xp1
    fstp tbyte ptr [0x21000]
    fld tbyte ptr [0x20020]
    fld tbyte ptr [0x20030]
    fyl2xp1
    fstp tbyte ptr [0x21010]
    fld tbyte ptr [0x20040]
    fld tbyte ptr [0x20050]
    fyl2xp1
    fstp tbyte ptr [0x21020]
    fld tbyte ptr [0x20060]
    fld tbyte ptr [0x20070]
    fyl2xp1
    fstp tbyte ptr [0x21030]
