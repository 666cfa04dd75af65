# SPDX-License-Identifier: Apache-2.0
#: in [0x103308] = 05 10 06 00 00 00 00 00
#: fault #PF(3) cr2=0x61000
.intel_syntax noprefix
    mov [0x60ffe], eax
