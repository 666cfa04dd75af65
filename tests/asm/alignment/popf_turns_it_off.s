# SPDX-License-Identifier: Apache-2.0
#: cpl 3
#: in cr0=0x80050033 ac=1
#: in [0x20001] = 01 02 03 04
#: out rax=0x04030201 ac=0
#: out [0x3eff8] = 02 00 00 00 00 00 00 00
.intel_syntax noprefix
    push 2
    popfq
    mov eax, [0x20001]
