# SPDX-License-Identifier: Apache-2.0
#: in [0x20000] = 00 00 20 40 00 00 00 c1 fe ff ff ff 07 00 00 00
#: out [0x20010] = 02 00 00 00 f8 ff ff ff 02 00 00 00 f8 ff ff ff
#: out [0x20020] = 00 00 00 c0 00 00 e0 40
#: out [0x20028] = 00 00 00 00 00 00 00 c0 00 00 00 00 00 00 1c 40
.intel_syntax noprefix
    fninit
    cvtps2pi mm0, [0x20000]
    movq [0x20010], mm0
    movq2dq xmm1, mm0
    movdq2q mm2, xmm1
    movq [0x20018], mm2
    cvtpi2ps xmm2, [0x20008]
    movlps [0x20020], xmm2
    movq mm4, [0x20008]
    cvtpi2pd xmm3, mm4
    movups [0x20028], xmm3
    emms
