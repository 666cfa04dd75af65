# SPDX-License-Identifier: Apache-2.0
#: out [0x3eff8] = 00 f0 03 00 00 00 00 00
#: out rsp=0x3eff8
.intel_syntax noprefix
    push rsp
