# SPDX-License-Identifier: Apache-2.0
#: in rax=0 cf=1
#: out rax=0xffffffffffffffff cf=1 sf=1 af=1 pf=1
.intel_syntax noprefix
    sbb rax, 0
