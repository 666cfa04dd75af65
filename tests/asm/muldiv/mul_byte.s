# SPDX-License-Identifier: Apache-2.0
#: in rax=0x11ff rbx=0xff
#: out rax=0xfe01 cf=1 of=1 sf=? zf=? af=? pf=?
.intel_syntax noprefix
    mul bl
