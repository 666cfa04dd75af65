# SPDX-License-Identifier: Apache-2.0
#: in cr0=0x8001003b
#: fault #UD
.intel_syntax noprefix
    .byte 0xf0
    addps xmm0, xmm1
