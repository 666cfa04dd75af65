# SPDX-License-Identifier: Apache-2.0
#: in [0x103308] = 00 00 00 00 00 00 00 00
#: in [0x103300] = 00 00 00 00 00 00 00 00
#: fault #PF(2) cr2=0x60ffe
.intel_syntax noprefix
    mov [0x60ffe], eax
