# SPDX-License-Identifier: Apache-2.0
#: in [0x3f000] = 78 56 34 12 00 00 00 00
#: out rsp=0x12345678
.intel_syntax noprefix
    pop rsp
