# SPDX-License-Identifier: Apache-2.0
#: in [0x20000] = 00 00 02 00
#: out cf=1 of=? sf=? af=? pf=?
.intel_syntax noprefix
    bt dword ptr [0x20000], 49
