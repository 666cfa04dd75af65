# SPDX-License-Identifier: Apache-2.0
#: in rsp=0x3efe0
#: in [0x3efe0] = 03 00 01 00 00 00 00 00
#: out rsp=0x3eff8
.intel_syntax noprefix
    ret 0x10
