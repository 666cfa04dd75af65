# SPDX-License-Identifier: Apache-2.0
#: in [0x2fff0] = 7f 03
#: in [0x20000] = 00 00 00 00 00 00 00 80 ff 3f
#: out [0x21000] = 92 5c 34 a8 7d 40 51 8a fe 3f
#: out [0x21010] = 21 70 67 48 78 a4 6a d7 fe 3f
#: in [0x20010] = 35 c2 68 21 a2 da 0f c9 00 40
#: out [0x21020] = 00 00 00 00 00 00 00 80 ff bf
#: out [0x21030] = 00 00 00 00 00 00 00 80 bf bf
#: in [0x20020] = 84 64 de f9 33 f3 04 b5 fd bf
#: out [0x21040] = 6f 57 e0 ca 41 7d 2a f0 fe 3f
#: out [0x21050] = a1 f6 bd 20 94 87 45 b1 fd bf
#: in [0x20030] = ba dc fe 10 32 54 76 98 3d 40
#: out [0x21060] = fb 8f 5a ab df 5c e8 ef fe 3f
#: out [0x21070] = 8f 07 0a 84 f3 48 aa b2 fd 3f
#: in [0x20040] = 2c 65 19 e2 58 17 b7 d1 e0 3f
#: out [0x21080] = fb ff ff ff ff ff ff ff fe 3f
#: out [0x21090] = 2b 65 19 e2 58 17 b7 d1 e0 3f
.intel_syntax noprefix
    fninit
    fldcw word ptr [0x2fff0]
    fld tbyte ptr [0x20000]
    fsincos
    fstp tbyte ptr [0x21000]
    fstp tbyte ptr [0x21010]
    fld tbyte ptr [0x20010]
    fsincos
    fstp tbyte ptr [0x21020]
    fstp tbyte ptr [0x21030]
    fld tbyte ptr [0x20020]
    fsincos
    fstp tbyte ptr [0x21040]
    fstp tbyte ptr [0x21050]
    fld tbyte ptr [0x20030]
    fsincos
    fstp tbyte ptr [0x21060]
    fstp tbyte ptr [0x21070]
    fld tbyte ptr [0x20040]
    fsincos
    fstp tbyte ptr [0x21080]
    fstp tbyte ptr [0x21090]
