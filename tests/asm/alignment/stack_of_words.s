# SPDX-License-Identifier: Apache-2.0
#: cpl 3
#: in cr0=0x80050033 ac=1 rsp=0x3effe
#: out rsp=0x3effc
#: out [0x3effc] = 34 12
.intel_syntax noprefix
    pushw 0x1234
