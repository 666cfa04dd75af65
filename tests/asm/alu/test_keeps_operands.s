# SPDX-License-Identifier: Apache-2.0
#: in r8=0x80 r9=0xff80 cf=1
#: out cf=0 sf=1 pf=0 af=?
.intel_syntax noprefix
    test r8b, r9b
