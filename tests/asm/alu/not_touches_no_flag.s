# SPDX-License-Identifier: Apache-2.0
#: in rax=0xffffffff00000000 cf=1 zf=1 of=1 sf=1 pf=1 af=1
#: out rax=0xffffffff
.intel_syntax noprefix
    not eax
