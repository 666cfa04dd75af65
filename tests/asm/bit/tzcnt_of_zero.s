# SPDX-License-Identifier: Apache-2.0
#: in rbx=0
#: out rax=64 cf=1 zf=0 of=? sf=? af=? pf=?
.intel_syntax noprefix
    tzcnt rax, rbx
