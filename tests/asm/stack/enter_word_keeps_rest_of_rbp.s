# SPDX-License-Identifier: Apache-2.0
#: in rsp=0x3f000 rbp=0x1122334455667788
#: out rbp=0x112233445566effe rsp=0x3effa
#: out [0x3effe] = 88 77
.intel_syntax noprefix
    data16 enter 4, 0
