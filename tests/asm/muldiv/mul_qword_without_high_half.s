# SPDX-License-Identifier: Apache-2.0
#: in rax=3 rbx=5 cf=1 of=1
#: out rax=15 rdx=0 cf=0 of=0 sf=? zf=? af=? pf=?
.intel_syntax noprefix
    mul rbx
