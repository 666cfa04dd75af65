# SPDX-License-Identifier: Apache-2.0
#: in rax=0xff00
#: out rax=0xd700 cf=1 pf=1 af=1 zf=1 sf=1
.intel_syntax noprefix
    sahf
    lahf
