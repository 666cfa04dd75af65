# SPDX-License-Identifier: Apache-2.0
#: fault #GP(0)
.intel_syntax noprefix
    movaps xmm0, [0x50001]
