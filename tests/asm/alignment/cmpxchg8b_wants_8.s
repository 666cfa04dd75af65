# SPDX-License-Identifier: Apache-2.0
#: cpl 3
#: in cr0=0x80050033 ac=1
#: fault #AC(0)
.intel_syntax noprefix
    cmpxchg8b [0x20004]
