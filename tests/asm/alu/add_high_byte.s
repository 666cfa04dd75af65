# SPDX-License-Identifier: Apache-2.0
#: in rbx=0x7f01
#: out rbx=0x8001 sf=1 of=1 af=1 pf=0
.intel_syntax noprefix
    add bh, 1
