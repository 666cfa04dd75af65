# SPDX-License-Identifier: Apache-2.0
#: in rax=2 cf=1
#: out rax=0x8000000000000001 cf=0 of=1
.intel_syntax noprefix
    rcr rax, 1
