# SPDX-License-Identifier: Apache-2.0
#: cpl 3
#: in cr0=0x80050033 ac=1
#: fault #GP(0)
.intel_syntax noprefix
    movaps xmm0, [0x20008]
