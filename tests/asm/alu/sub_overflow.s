# SPDX-License-Identifier: Apache-2.0
#: in rax=0x8000
#: out rax=0x7fff of=1 af=1 pf=1
.intel_syntax noprefix
    sub ax, 1
