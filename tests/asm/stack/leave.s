# SPDX-License-Identifier: Apache-2.0
#: in rbp=0x3e000
#: in [0x3e000] = 21 43 00 00 00 00 00 00
#: out rsp=0x3e008 rbp=0x4321
.intel_syntax noprefix
    leave
