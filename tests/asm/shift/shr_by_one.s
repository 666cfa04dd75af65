# SPDX-License-Identifier: Apache-2.0
#: in rax=0x8001
#: out rax=0x4000 cf=1 of=1 pf=1 af=?
.intel_syntax noprefix
    shr ax, 1
