# SPDX-License-Identifier: Apache-2.0
#: in rbp=0x8000000000000000
#: fault #SS(0)
.intel_syntax noprefix
    movaps xmm0, [rbp]
