# SPDX-License-Identifier: Apache-2.0
#: cpl 3
#: in cr0=0x80050033 ac=1
#: fault #PF(0) cr2=0x50001
.intel_syntax noprefix
    mov eax, [0x50001]
