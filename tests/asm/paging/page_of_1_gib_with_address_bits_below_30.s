# SPDX-License-Identifier: Apache-2.0
#: in [0x101008] = 87 20 00 00 00 00 00 00
#: fault #PF(9) cr2=0x40020010
.intel_syntax noprefix
    mov eax, [0x40020010]
