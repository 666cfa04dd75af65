# SPDX-License-Identifier: Apache-2.0
#: in rbx=0xff00ff cf=1 of=1 sf=1 zf=1 pf=1 af=1
#: out rax=16 cf=0 of=0 sf=0 zf=0 pf=0 af=0
.intel_syntax noprefix
    popcnt eax, ebx
