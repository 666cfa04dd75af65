# SPDX-License-Identifier: Apache-2.0
#: cpl 3
#: in cr0=0x80050033 rax=0
#: in [0x20001] = 01 02 03 04
#: out rax=0x04030201
.intel_syntax noprefix
    mov eax, [0x20001]
