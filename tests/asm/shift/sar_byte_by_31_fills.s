# SPDX-License-Identifier: Apache-2.0
#: in rax=0x80
#: out rax=0xff cf=1 sf=1 pf=1 of=? af=?
.intel_syntax noprefix
    sar al, 31
