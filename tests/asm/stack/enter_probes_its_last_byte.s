# SPDX-License-Identifier: Apache-2.0
#: in rsp=0x52010 rbp=1
#: out [0x52008] = 01 00 00 00 00 00 00 00
#: fault #PF(3) cr2=0x51ff8
#: cpl 0
.intel_syntax noprefix
    enter 16, 0
