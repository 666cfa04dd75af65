# SPDX-License-Identifier: Apache-2.0
#: in rsi=0x50000 rdi=0x50010
#: fault #PF(0) cr2=0x50010
.intel_syntax noprefix
    cmpsb
