# SPDX-License-Identifier: Apache-2.0
#: in rax=0x2 rbx=33 zf=1
#: out cf=1 of=? sf=? af=? pf=?
.intel_syntax noprefix
    bt eax, ebx
