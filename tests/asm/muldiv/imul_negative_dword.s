# SPDX-License-Identifier: Apache-2.0
#: in rax=0xfffffffe rbx=3 rdx=0x1234567812345678
#: out rax=0xfffffffa rdx=0xffffffff cf=0 of=0 sf=? zf=? af=? pf=?
.intel_syntax noprefix
    imul ebx
