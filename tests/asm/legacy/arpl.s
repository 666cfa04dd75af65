# SPDX-License-Identifier: Apache-2.0
#: mode protected32
#: in rax=0x10 rbx=3 rcx=0x13
#: out rax=0x13 zf=0
.intel_syntax noprefix
.code32
    arpl ax, bx
    arpl cx, bx
