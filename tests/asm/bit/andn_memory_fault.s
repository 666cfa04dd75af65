# SPDX-License-Identifier: Apache-2.0
#: in rax=1 cf=1
#: fault #PF(0) cr2=0x50000
.intel_syntax noprefix
    andn rcx, rax, [0x50000]
