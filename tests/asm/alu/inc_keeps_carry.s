# SPDX-License-Identifier: Apache-2.0
#: in rax=0xff cf=1
#: out rax=0 zf=1 pf=1 af=1 cf=1
.intel_syntax noprefix
    inc al
