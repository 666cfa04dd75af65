# SPDX-License-Identifier: Apache-2.0
#: in rax=0x10
#: in [0x51008] = 11 00 00 00
#: out cf=1 sf=1 af=1 pf=1
.intel_syntax noprefix
    cmp eax, dword ptr [0x51008]
