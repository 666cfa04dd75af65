# SPDX-License-Identifier: Apache-2.0
#: in rax=0xff00 rbx=0xf0f0 cf=1 of=1
#: out rcx=0xf0 cf=0 of=0 af=? pf=?
.intel_syntax noprefix
    andn rcx, rax, rbx
