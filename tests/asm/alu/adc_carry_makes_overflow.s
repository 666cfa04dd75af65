# SPDX-License-Identifier: Apache-2.0
#: in rax=0x7f cf=1
#: out rax=0x80 cf=0 of=1 sf=1 af=1 pf=0
.intel_syntax noprefix
    adc al, 0
