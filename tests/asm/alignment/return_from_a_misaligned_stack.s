# SPDX-License-Identifier: Apache-2.0
#: cpl 3
#: in cr0=0x80050033 ac=1 rsp=0x3effa
#: fault #AC(0)
.intel_syntax noprefix
    ret
