# SPDX-License-Identifier: Apache-2.0
#: in rax=0xf0f0 rbx=0x8ff0 cf=1 of=1
#: out rax=0x80f0 cf=0 of=0 sf=1 pf=1 af=?
.intel_syntax noprefix
    and ax, bx
