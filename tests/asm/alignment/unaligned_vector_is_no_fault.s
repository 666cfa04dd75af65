# SPDX-License-Identifier: Apache-2.0
#: cpl 3
#: in cr0=0x80050033 ac=1
#: in [0x20001] = 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10
#: out [0x20021] = 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10
.intel_syntax noprefix
    movups xmm0, [0x20001]
    movdqu [0x20021], xmm0
