# SPDX-License-Identifier: Apache-2.0
#: in [0x2fff0] = 7f 0f
#: in [0x20000] = 00 00 00 00 00 00 00 80 ff 3f
#: out [0x21000] = 91 5c 34 a8 7d 40 51 8a fe 3f
#: in [0x20010] = 35 c2 68 21 a2 da 0f c9 00 40
#: out [0x21020] = ff ff ff ff ff ff ff ff fe bf
#: in [0x20020] = 84 64 de f9 33 f3 04 b5 fd bf
#: out [0x21040] = 6e 57 e0 ca 41 7d 2a f0 fe 3f
#: in [0x20030] = ba dc fe 10 32 54 76 98 3d 40
#: out [0x21060] = fa 8f 5a ab df 5c e8 ef fe 3f
#: in [0x20040] = 2c 65 19 e2 58 17 b7 d1 e0 3f
#: out [0x21080] = fa ff ff ff ff ff ff ff fe 3f
.intel_syntax noprefix
    fninit
    fldcw word ptr [0x2fff0]
    fld tbyte ptr [0x20000]
    fcos
    fstp tbyte ptr [0x21000]
    fld tbyte ptr [0x20010]
    fcos
    fstp tbyte ptr [0x21020]
    fld tbyte ptr [0x20020]
    fcos
    fstp tbyte ptr [0x21040]
    fld tbyte ptr [0x20030]
    fcos
    fstp tbyte ptr [0x21060]
    fld tbyte ptr [0x20040]
    fcos
    fstp tbyte ptr [0x21080]
