# SPDX-License-Identifier: Apache-2.0
# With SS.B = 0 only SP counts: the upper half of ESP stays, and after 0 comes FFFEH.
#: mode protected16
#: in rax=0x12345678 rsp=0x99990000
#: out rsp=0x9999fffc
#: out [0x3fffc] = 78 56 34 12
.intel_syntax noprefix
.code16
    push eax
