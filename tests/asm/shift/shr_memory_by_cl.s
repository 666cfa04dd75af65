# SPDX-License-Identifier: Apache-2.0
#: in rcx=4
#: in [0x20001] = 18 ff
#: out [0x20001] = f1 0f
#: out cf=1 pf=0 of=? af=?
.intel_syntax noprefix
    shr word ptr [0x20001], cl
