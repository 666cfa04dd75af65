# SPDX-License-Identifier: Apache-2.0
#: in [0x20000] = 50 00 00 00 00 00 00 80
#: out rcx=0x8000000000000040 sf=1 af=? pf=?
.intel_syntax noprefix
    blsr rcx, [0x20000]
