# SPDX-License-Identifier: Apache-2.0
#: in rcx=0x1234
#: out rcx=0x1246 pf=0
.intel_syntax noprefix
    add cl, ch
