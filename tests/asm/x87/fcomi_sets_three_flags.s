# SPDX-License-Identifier: Apache-2.0
#: in of=1 sf=1 af=1
#: out cf=1 zf=0 pf=0 of=0 sf=0 af=0
.intel_syntax noprefix
    fninit
    fld1
    fldz
    fcomi st, st(1)
