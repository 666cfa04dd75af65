# SPDX-License-Identifier: Apache-2.0
#: cpl 3
#: in cr0=0x80050033 ac=1
#: fault #AC(0) at=0x10009
.intel_syntax noprefix
    fninit
    fld tbyte ptr [0x20008]
    fld tbyte ptr [0x20004]
