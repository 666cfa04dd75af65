# SPDX-License-Identifier: Apache-2.0
#: in rax=0x8000000000000000
#: out rax=0x8000000000000000 cf=1 of=1 sf=1 pf=1
.intel_syntax noprefix
    neg rax
