# SPDX-License-Identifier: Apache-2.0
#: in cr0=0x8001003f
#: fault #UD
.intel_syntax noprefix
    addps xmm0, xmm1
