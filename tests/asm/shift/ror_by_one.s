# SPDX-License-Identifier: Apache-2.0
#: in rax=1
#: out rax=0x80000000 cf=1 of=1
.intel_syntax noprefix
    ror eax, 1
