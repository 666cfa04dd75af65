# SPDX-License-Identifier: Apache-2.0
#: in rax=0
#: out rax=0xfffffffffffffff0 sf=1 pf=1 af=?
.intel_syntax noprefix
    or rax, -16
