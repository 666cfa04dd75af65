# SPDX-License-Identifier: Apache-2.0
#: in [0x2fff0] = 7f 03
#: in [0x20000] = 00 00 00 00 00 00 00 80 ff 3f
#: out [0x21000] = 00 00 00 00 00 00 00 80 ff 3f
#: out [0x21010] = c5 2d 1d f7 e5 22 59 c7 ff 3f
#: in [0x20010] = 35 c2 68 21 a2 da 0f c9 00 40
#: out [0x21020] = 00 00 00 00 00 00 00 80 ff 3f
#: out [0x21030] = 00 00 00 00 00 00 00 80 bf 3f
#: in [0x20020] = 84 64 de f9 33 f3 04 b5 fd bf
#: out [0x21040] = 00 00 00 00 00 00 00 80 ff 3f
#: out [0x21050] = a5 27 fe bb 08 83 f5 bc fd bf
#: in [0x20030] = ba dc fe 10 32 54 76 98 3d 40
#: out [0x21060] = 00 00 00 00 00 00 00 80 ff 3f
#: out [0x21070] = 26 ef 1d c9 dd 47 a6 be fd 3f
#: in [0x20040] = 2c 65 19 e2 58 17 b7 d1 e0 3f
#: out [0x21080] = 00 00 00 00 00 00 00 80 ff 3f
#: out [0x21090] = 2f 65 19 e2 58 17 b7 d1 e0 3f
.intel_syntax noprefix
    fninit
    fldcw word ptr [0x2fff0]
    fld tbyte ptr [0x20000]
    fptan
    fstp tbyte ptr [0x21000]
    fstp tbyte ptr [0x21010]
    fld tbyte ptr [0x20010]
    fptan
    fstp tbyte ptr [0x21020]
    fstp tbyte ptr [0x21030]
    fld tbyte ptr [0x20020]
    fptan
    fstp tbyte ptr [0x21040]
    fstp tbyte ptr [0x21050]
    fld tbyte ptr [0x20030]
    fptan
    fstp tbyte ptr [0x21060]
    fstp tbyte ptr [0x21070]
    fld tbyte ptr [0x20040]
    fptan
    fstp tbyte ptr [0x21080]
    fstp tbyte ptr [0x21090]
