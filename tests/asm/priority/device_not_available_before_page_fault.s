# SPDX-License-Identifier: Apache-2.0
#: in cr0=0x8001003b
#: fault #NM
.intel_syntax noprefix
    movups xmm0, [0x50000]
