# SPDX-License-Identifier: Apache-2.0
#: in rsp=0x3f000 rbp=0x1122334455667788
#: out rbp=0x3eff8 rsp=0x3eff8
#: out [0x3eff8] = 88 77 66 55 44 33 22 11
.intel_syntax noprefix
    enter 0, 32
