# SPDX-License-Identifier: Apache-2.0
#: in [0x2fff0] = 7f 0b
#: in [0x20000] = 00 00 00 00 00 00 00 80 ff 3f
#: out [0x21000] = 21 70 67 48 78 a4 6a d7 fe 3f
#: in [0x20010] = 35 c2 68 21 a2 da 0f c9 00 40
#: out [0x21020] = ff ff ff ff ff ff ff ff be bf
#: in [0x20020] = 84 64 de f9 33 f3 04 b5 fd bf
#: out [0x21040] = a1 f6 bd 20 94 87 45 b1 fd bf
#: in [0x20030] = ba dc fe 10 32 54 76 98 3d 40
#: out [0x21060] = 8f 07 0a 84 f3 48 aa b2 fd 3f
#: in [0x20040] = 2c 65 19 e2 58 17 b7 d1 e0 3f
#: out [0x21080] = 2b 65 19 e2 58 17 b7 d1 e0 3f
.intel_syntax noprefix
    fninit
    fldcw word ptr [0x2fff0]
    fld tbyte ptr [0x20000]
    fsin
    fstp tbyte ptr [0x21000]
    fld tbyte ptr [0x20010]
    fsin
    fstp tbyte ptr [0x21020]
    fld tbyte ptr [0x20020]
    fsin
    fstp tbyte ptr [0x21040]
    fld tbyte ptr [0x20030]
    fsin
    fstp tbyte ptr [0x21060]
    fld tbyte ptr [0x20040]
    fsin
    fstp tbyte ptr [0x21080]
