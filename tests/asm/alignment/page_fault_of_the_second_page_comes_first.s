# SPDX-License-Identifier: Apache-2.0
#: cpl 3
#: in cr0=0x80050033 ac=1
#: fault #PF(0) cr2=0x50000
.intel_syntax noprefix
    mov rax, [0x4fffe]
