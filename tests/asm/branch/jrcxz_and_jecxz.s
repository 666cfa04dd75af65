# SPDX-License-Identifier: Apache-2.0
#: in rcx=0x100000000 rax=0
#: out rax=2 af=?
.intel_syntax noprefix
    jrcxz 1f
    or al, 2
    jecxz 2f
1:  or al, 1
2:
