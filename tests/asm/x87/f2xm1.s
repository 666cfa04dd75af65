# SPDX-License-Identifier: Apache-2.0
#: in [0x2fff0] = 7f 03
#: in [0x20000] = ff ff ff ff ff ff ff ff fe 3f
#: out [0x21000] = ff ff ff ff ff ff ff ff fe 3f
#: in [0x20010] = 00 00 00 00 00 00 00 80 fe 3f
#: out [0x21020] = 11 92 79 e7 cf cc 13 d4 fd 3f
#: in [0x20020] = 84 64 de f9 33 f3 04 b5 fd bf
#: out [0x21040] = d3 15 db b2 51 f1 8f de fc bf
#: in [0x20030] = 2c 65 19 e2 58 17 b7 d1 c0 3f
#: out [0x21060] = 1d 32 89 50 4f 0e 5d 91 c0 3f
#: in [0x20040] = 01 00 00 00 00 00 00 80 a0 bf
#: out [0x21080] = ad 79 cf d1 f7 17 72 b1 9f bf
.intel_syntax noprefix
    fninit
    fldcw word ptr [0x2fff0]
    fld tbyte ptr [0x20000]
    f2xm1
    fstp tbyte ptr [0x21000]
    fld tbyte ptr [0x20010]
    f2xm1
    fstp tbyte ptr [0x21020]
    fld tbyte ptr [0x20020]
    f2xm1
    fstp tbyte ptr [0x21040]
    fld tbyte ptr [0x20030]
    f2xm1
    fstp tbyte ptr [0x21060]
    fld tbyte ptr [0x20040]
    f2xm1
    fstp tbyte ptr [0x21080]
