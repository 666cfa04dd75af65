# SPDX-License-Identifier: Apache-2.0
#: in rdx=0x1234 cf=1
#: out rdx=0xffffffff cf=1 sf=1 af=1 pf=1
.intel_syntax noprefix
    sbb edx, edx
